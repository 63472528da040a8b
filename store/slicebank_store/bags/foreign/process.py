"""The confined process: opens one foreign file, and writes its values to stdout and what else is known to stderr.

`python -I -m slicebank_store.bags.foreign.process FILE LIMITS`, LIMITS in JSON. Whoever starts it believes nothing that it says without
looking: see `reading`.
"""

from __future__ import annotations

import codecs
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import h5py

from slicebank_store.bags.foreign.layout import copy_values
from slicebank_store.bags.foreign.limits import REFUSED, ForeignLimits
from slicebank_store.bags.foreign.structure import Refused, check_structure

# Codecs are modules that Python loads when they are first used, and the sealed process loads nothing.
_CODECS = [codecs.lookup(name) for name in ("ascii", "latin-1", "utf-8")]


def confine(limits: ForeignLimits) -> None:
    """Bounds this process's memory, CPU time and what it writes; it leaves no core."""
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_FSIZE, limits.values_bytes + limits.rows * 8 + (64 << 20))
    _limit(resource.RLIMIT_CORE, 0)


def seal() -> None:
    """Lets no further file, socket, pipe or process come: whatever the file makes HDF5 do, it reaches nothing but what is open."""
    _limit(resource.RLIMIT_NOFILE, 0)
    _limit(resource.RLIMIT_NPROC, 0)


def main(path: Path, limits: ForeignLimits) -> int:
    """Reads one file; the exit status."""
    output = os.fdopen(1, "wb", buffering=1 << 20, closefd=False)
    confine(limits)
    try:
        with h5py.File(path, "r", locking=False) as file:
            seal()
            check_structure(file, limits)
            told: dict[str, Any] = copy_values(file, limits, output.write)
        output.flush()
    except Refused as refusal:
        return _tell({"refused": str(refusal)}, REFUSED)
    except MemoryError:
        return _tell({"refused": f"reading the file takes more than {limits.memory_bytes} bytes of memory"}, REFUSED)
    except Exception as error:  # noqa: BLE001 - h5py raises whatever a damaged file leads it to
        return _tell({"refused": f"the file cannot be read as HDF5 ({type(error).__name__})"}, REFUSED)
    return _tell(told, 0)


def _tell(value: dict[str, Any], status: int) -> int:
    sys.stderr.write("\n" + json.dumps(value, allow_nan=False) + "\n")
    sys.stderr.flush()
    return status


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (allowed, allowed))


if __name__ == "__main__":
    # HDF5 tears itself down badly in a process that was refused memory; nothing is left to be saved.
    os._exit(main(Path(sys.argv[1]), ForeignLimits.from_dict(json.loads(sys.argv[2]))))
