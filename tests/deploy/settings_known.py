"""Which settings a process of each image reads."""

from __future__ import annotations

from slicebank_service.dicom_network.settings import ListenerSettings
from slicebank_store.settings import StoreSettings
from slicebank_worker.settings import WorkerSettings

STORE = frozenset(f"SLICEBANK_{name.upper()}" for name in StoreSettings.model_fields)

READ_BY = {
    "slicebank-api": frozenset(f"SLICEBANK_{name.upper()}" for name in ListenerSettings.model_fields),
    "slicebank-worker": frozenset(f"SLICEBANK_{name.upper()}" for name in WorkerSettings.model_fields),
}
"""By image. What both read is the store's."""


def unknown(image: str, names: set[str]) -> set[str]:
    """The slicebank settings among these names that no process of the image reads."""
    return {name for name in names if name.startswith("SLICEBANK_")} - READ_BY[image]
