"""One worker process: `python -m slicebank_worker embed|train|predict`, configured by `SLICEBANK_*` variables."""

from __future__ import annotations

import sys

from slicebank_store.starting import without_collection


def main(arguments: list[str] | None = None) -> int:
    """Works until it is told to stop; gives the exit status."""
    with without_collection():
        from slicebank_worker.process import run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
