"""Care of what is stored: comparing catalogue and blobs, removing leftovers, backing the catalogue up."""

from slicebank_store.upkeep.finding import Finding, FindingCode
from slicebank_store.upkeep.gc import Collected, collect
from slicebank_store.upkeep.verify import Verifier

__all__ = ["Collected", "Finding", "FindingCode", "Verifier", "collect"]
