"""Uploading what appears in a folder, by looking at it again and again; nothing but the file system is needed for it."""

from slicebank.watch.folders import Seen, Settling
from slicebank.watch.watching import Event, Watcher, WatchOptions

__all__ = ["Event", "Seen", "Settling", "WatchOptions", "Watcher"]
