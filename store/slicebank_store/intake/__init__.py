"""Uploads on their way into the store."""

from slicebank_store.intake.staging import Staging, Upload
from slicebank_store.intake.weighing import StagedBytes

__all__ = ["StagedBytes", "Staging", "Upload"]
