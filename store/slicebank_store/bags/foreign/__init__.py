"""Bags made elsewhere: HDF5 in the layout of STAMP, TRIDENT or CLAM, opened as hostile input in a process of its own."""

from slicebank_store.bags.foreign.limits import ForeignLimits
from slicebank_store.bags.foreign.reading import ForeignBag, read_foreign
from slicebank_store.bags.foreign.writing import write_foreign

__all__ = ["ForeignBag", "ForeignLimits", "read_foreign", "write_foreign"]
