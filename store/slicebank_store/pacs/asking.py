"""What a job is to ask a PACS for. It names a study as the hospital does, so it lies with the job's files and never in the catalogue."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from slicebank_store.errors import UploadMissing
from slicebank_store.pacs.selecting import SeriesRules

_FILE = "ask.json"
_UID = re.compile(r"[0-9.]{1,64}")


def is_uid(value: str) -> bool:
    """Whether a text may be a UID: it goes into URLs and names of folders."""
    return _UID.fullmatch(value) is not None and ".." not in value and value.strip(".") == value


@dataclass(frozen=True, slots=True)
class Ask:
    """One study of one PACS.

    Attributes:
        source: name of the PACS.
        study_uid: StudyInstanceUID as the PACS knows it.
        rules: which of its series.
    """

    source: str
    study_uid: str
    rules: SeriesRules

    def write(self, folder: Path) -> None:
        """Writes it into an upload's folder."""
        path = folder / _FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps({"source": self.source, "study_uid": self.study_uid, "rules": self.rules.as_dict()}))

    @classmethod
    def read(cls, folder: Path) -> Ask:
        """Reads it from an upload's folder.

        Raises:
            UploadMissing: it is not there any more.
        """
        try:
            values = json.loads((folder / _FILE).read_text())
        except FileNotFoundError as error:
            raise UploadMissing("What was to be asked of the PACS is gone: import the study again.") from error
        return cls(values["source"], values["study_uid"], SeriesRules.from_dict(values["rules"]))
