"""What every data set is to a benchmark: cases with facts, and files to send for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Case:
    """One scan, or all scans of one patient where the data set labels patients.

    Attributes:
        name: What the data set calls it.
        patient: Whose it is, as the data set names patients.
        facts: Column of its tables -> values that its rows have there.
        uid: What it is known by, where it is in the service already.
    """

    name: str
    patient: str
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uid: str = ""


class Dataset(Protocol):
    """A data set on this machine, or what a service has."""

    @property
    def name(self) -> str:
        """Of the reader."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences about what the tables name and the folder lacks, and the other way round."""
        ...

    def cases(self) -> Sequence[Case]:
        """All cases, in order of their names."""
        ...

    def files_of(self, case: Case, scratch: Path) -> Path | None:
        """What to send for a case: its own files, or a folder of DICOM made below `scratch`; None where the service has it.

        Raises:
            DatasetProblem: its files cannot be read.
        """
        ...

    def patient_to_say(self, case: Case) -> str | None:
        """PatientID to send along, where the files do not say it."""
        ...

    def mark(self, case: Case) -> str:
        """Changes when the files of a case do."""
        ...
