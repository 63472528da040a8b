"""What `slicebank predict` saves of an answer, and sends to a PACS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicebank.client import Client
from slicebank.errors import InputError


@dataclass(frozen=True, slots=True)
class PredictedFiles:
    """What is wanted beside the answer.

    Attributes:
        picture: PNG of the attention.
        report: HTML page.
        sr: DICOM structured report.
        sc: DICOM secondary capture of the picture.
        like: DICOM file of the study, whose patient the two are for.
        push: name of the PACS that they are sent to.
    """

    picture: Path | None
    report: Path | None
    sr: Path | None
    sc: Path | None
    like: Path | None
    push: str | None

    def check(self) -> None:
        """Sees that the options go together.

        Raises:
            InputError: they do not.
        """
        if self.like is not None and self.sr is None and self.sc is None:
            raise InputError("--like says whose a DICOM object is, and none is saved.", hint="Add --sr or --sc.")

    def save(self, client: Client, prediction_id: str) -> dict[str, Any]:
        """Has them made, and saves or sends them.

        Returns:
            Paths by kind, and what was sent under `pushed`.
        """
        predictions = client.predictions
        if self.picture is not None:
            predictions.attention_png(prediction_id, self.picture)
        if self.report is not None:
            predictions.report(prediction_id, self.report)
        if self.sr is not None:
            predictions.structured_report(prediction_id, self.sr, like=self.like)
        if self.sc is not None:
            predictions.secondary_capture(prediction_id, self.sc, like=self.like)
        kept = {"picture": self.picture, "report": self.report, "sr": self.sr, "sc": self.sc}
        told: dict[str, Any] = {kind: str(path) for kind, path in kept.items() if path is not None}
        if self.push is not None:
            told["pushed"] = predictions.push(prediction_id, self.push).raw
        return told

    def sentences(self, told: dict[str, Any]) -> list[str]:
        """What was done, for a person; the picture has a sentence of its own."""
        named = {"report": "Report", "sr": "Structured report", "sc": "Secondary capture"}
        said = [f"{name}: {told[kind]}" for kind, name in named.items() if kind in told]
        if (self.sr or self.sc) and self.like is None:
            said.append("The DICOM objects name no patient: add --like with a DICOM file of the study.")
        if "pushed" in told:
            said.append(f"Sent to {told['pushed']['pacs']}: {len(told['pushed']['objects'])} objects.")
        return said
