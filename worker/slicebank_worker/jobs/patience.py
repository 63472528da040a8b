"""Writing a result down although the catalogue is away for a moment: hours of work must not be lost to a database that restarts."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from slicebank_store.errors import CatalogueUnavailable
from slicebank_worker.leases import Hold

log = structlog.get_logger()

# A PostgreSQL that restarts or fails over is back within this long; beyond it the job starts again.
PATIENCE_S = 120.0
_PAUSE_S = 0.5


def patiently(hold: Hold, write: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> bool:
    """Writes a job's success, again and again while the catalogue is away.

    Args:
        hold: the job; its lease is renewed as soon as the catalogue is back, if no sweep is quicker.
        write: `Jobs.succeed`; asking twice writes once.
        patience_s: how long to try, seconds.

    Raises:
        CatalogueUnavailable: it is still away, or the job may not go on.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return write()
        except CatalogueUnavailable as error:
            if time.monotonic() >= deadline or hold.interrupted:
                raise
            log.warning("result_waits_for_catalogue", detail=str(error))
            time.sleep(_PAUSE_S)
