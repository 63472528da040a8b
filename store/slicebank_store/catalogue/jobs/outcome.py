"""What a training hands to the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from slicebank_store.types import JSON


@dataclass(frozen=True, slots=True)
class HeadOutcome:
    """A trained head version.

    Attributes:
        blob_key: where its weights are.
        sha256: of the weights file, hex.
        size_bytes: of the weights file.
        metrics: figures shown with the head: folds, mean, sd, test.
        report: everything else a reader may ask for: predictions out of fold, splits, warnings.
    """

    head_id: str
    blob_key: str
    sha256: str
    size_bytes: int
    metrics: JSON
    report: JSON
