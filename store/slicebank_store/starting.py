"""Starting a process quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Lets a process import what it needs without looking for garbage meanwhile, nor later in what was imported.

    Imports make some hundred thousand objects that all stay. Python's collector looks through all of them again whenever they have
    grown by a quarter: that took a sixth of the time to start, and later held up every thread for a tenth of a second at a time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
