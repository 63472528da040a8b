"""Uploads on their way into the store."""

from slicebank_store.intake.staging import Staging, Upload

__all__ = ["Staging", "Upload"]
