"""The encoder engine: full batches made of the rows of all running jobs."""

from slicebank_worker.engine.engine import Engine, EngineClosed, EngineLimits
from slicebank_worker.engine.lanes import EncoderKey, RowStream
from slicebank_worker.engine.shelf import EncoderShelf

__all__ = ["EncoderKey", "EncoderShelf", "Engine", "EngineClosed", "EngineLimits", "RowStream"]
