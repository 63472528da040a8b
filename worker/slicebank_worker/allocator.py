"""How this process's memory is given back: not after every layer."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Lets glibc keep up to 1 GiB of freed memory for the next layer of the encoder.

    By default it maps every large array anew and gives it back when freed; each page is then zeroed and faulted in again, 700 to
    3,200 times a row with the default encoder, which costs about a tenth of a CPU's rate (docs/performance.md). The peak is the same.

    Returns:
        Whether the C library has such a setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _BYTES))
