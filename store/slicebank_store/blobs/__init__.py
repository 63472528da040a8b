"""Bytes under keys: bags, heads and kept pixels. Every backend passes the one contract suite of the tests."""

from slicebank_store.blobs.directory import DirectoryBlobs, FileReader
from slicebank_store.blobs.keys import BlobKind, bag_key, check_key, head_key, parse_key, pixels_key
from slicebank_store.blobs.opening import open_blobs
from slicebank_store.blobs.protocol import BlobReader, BlobStore, Unfinished

__all__ = [
    "BlobKind",
    "BlobReader",
    "BlobStore",
    "DirectoryBlobs",
    "FileReader",
    "Unfinished",
    "bag_key",
    "check_key",
    "head_key",
    "open_blobs",
    "parse_key",
    "pixels_key",
]
