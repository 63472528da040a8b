"""What was embedded of each case, one line each in a file that only grows, so that a second run sends nothing twice."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Embedded:
    """The bags of one case under one encoder.

    Attributes:
        case: Its name.
        mark: Of its files when they were sent.
        weights_digest: Of the encoder then.
        series: SeriesInstanceUIDs at the server.
        bags: Their bags, in the same order.
    """

    case: str
    mark: str
    weights_digest: str
    series: tuple[str, ...]
    bags: tuple[str, ...]


class Ledger:
    """The lines of one encoder; the last one about a case counts, and one that was cut off by a crash does not."""

    def __init__(self, folder: Path, encoder: str) -> None:
        """Reads what was noted before.

        Args:
            folder: of all encoders' files.
            encoder: its id.
        """
        self._path = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', encoder)}.jsonl"
        self._lines: dict[str, Embedded] = {}
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError:
            text = ""
        for line in text.splitlines():
            if (found := _read(line)) is not None:
                self._lines[found.case] = found

    def get(self, case: str) -> Embedded | None:
        """The last line about a case."""
        return self._lines.get(case)

    def put(self, embedded: Embedded) -> None:
        """Notes a case."""
        self._lines[embedded.case] = embedded
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            # Begins a line of its own even where the one before was cut off.
            file.write(f"\n{json.dumps(asdict(embedded))}\n")


def _read(line: str) -> Embedded | None:
    try:
        values: dict[str, Any] = json.loads(line)
        return Embedded(**{**values, "series": tuple(values["series"]), "bags": tuple(values["bags"])})
    except (ValueError, TypeError, KeyError):
        return None
