"""Keeping a finished result in hand while store or catalogue are away: what was computed must not be computed again for their sake.

A worker then holds at most as many results as it has hands, and takes no further jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from slicebank_store.catalogue.jobs import Beat
from slicebank_store.errors import BlobsFull, BlobsUnavailable, CatalogueUnavailable
from slicebank_worker.leases import Hold

log = structlog.get_logger()

T = TypeVar("T")

# An outage of minutes is a restart or a failover; after that the job goes back into the queue, where people see what it waits for.
PATIENCE_S = 600.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


def patiently(hold: Hold, write: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
    """Puts a result away, again and again while that is not possible.

    Args:
        hold: the job; its lease is renewed meanwhile, unless the catalogue is what is away.
        write: puts a blob or `Jobs.succeed`: what may be done twice and counts once.
        patience_s: how long to try, seconds.

    Raises:
        BlobsFull, BlobsUnavailable, CatalogueUnavailable: it was still not possible.
        Interrupted: the job may not go on.
    """
    deadline, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            return write()
        except (BlobsFull, BlobsUnavailable, CatalogueUnavailable) as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("result_waits", code=error.code, detail=str(error))
            # A commit whose answer was lost looks like a lost lease; asked again, the catalogue tells the two apart.
            unsure = isinstance(error, CatalogueUnavailable)
        time.sleep(pause)
        if not (unsure and hold.beat is Beat.LOST):
            hold.check()
        pause = min(2 * pause, _LONGEST_PAUSE_S)
