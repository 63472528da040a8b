"""Exports: what is there when one is done, and how far it has come before that."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from slicebank.records.decode import JSON


@dataclass(frozen=True, slots=True)
class Export:
    """A cohort in the layout of other people's software.

    Attributes:
        folder: where it is.
        n_bags: bags in files and tables.
        n_sent: bags that were sent now; the others were there already.
        n_unmatched: rows of the labels that name no bag.
        left_out: bags that were not exported, with the reason.
        raw: the manifest.
    """

    folder: Path
    layout: str
    encoder: str
    n_bags: int
    n_sent: int
    n_unmatched: int
    left_out: tuple[JSON, ...] = ()
    raw: JSON = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export has come.

    Attributes:
        done: bags that are there.
        total: bags of the export.
        received_bytes: of all files so far.
    """

    done: int
    total: int
    received_bytes: int
