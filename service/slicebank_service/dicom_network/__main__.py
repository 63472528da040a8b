"""One listener process: `python -m slicebank_service.dicom_network`, configured by `SLICEBANK_*` variables."""

from __future__ import annotations

import sys

from slicebank_store.starting import without_collection


def main() -> int:
    """Listens until it is told to stop; gives the exit status."""
    with without_collection():
        from slicebank_service.dicom_network.process import run
        from slicebank_service.dicom_network.settings import ListenerSettings
    return run(ListenerSettings())


if __name__ == "__main__":
    sys.exit(main())
