"""A load through a cluster, with or without faults, until the cluster is at rest again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slicebank import Client, UploadedSeries
from tests.chaos.faults import Breaker, Fault
from tests.chaos.load import Load, Piece
from tests.chaos.verdict import Work, staged, work_done
from tests.chaos.watch import RowsWatch
from tests.cluster.deployment import Cluster
from tests.cluster.spreading import SpreadClient

_TEND_S = 0.05
# An upload that nobody acknowledges for so long is lost: no schedule keeps everything away for a tenth of it.
_PATIENCE_S = 180.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        accepted: what was sent, and how it was acknowledged.
        rows: rows that workers encoded, at least: what a killed worker did in its last half second is not known.
        work: what the ledger says.
        refusals: uploads that were not acknowledged at once, by reason.
        faults: answers that no outage explains.
    """

    accepted: list[tuple[Piece, UploadedSeries]]
    rows: int
    work: Work
    refusals: Counter[str]
    faults: list[str]


def run_load(
    cluster: Cluster,
    pieces: Sequence[Piece],
    *,
    clients: int = 3,
    pause_s: float = 0.0,
    quiet_s: float,
    meanwhile: Callable[[Load], None] = lambda _load: None,
) -> Outcome:
    """Uploads pieces and waits until every job is final, staging is empty and every process is at work.

    Args:
        cluster: without series.
        pieces: what to send.
        clients: threads that send.
        pause_s: seconds that each waits between two uploads.
        quiet_s: how long to wait for rest at most.
        meanwhile: runs on this thread as soon as the sending has begun.

    Raises:
        TimeoutError: the cluster does not come to rest.
    """
    since = time.time()
    with SpreadClient(cluster.urls, cluster.api_key) as client, RowsWatch(cluster.workers) as watch:
        with Load(client, pieces, clients=clients, pause_s=pause_s, patience_s=_PATIENCE_S) as load:
            meanwhile(load)
            cluster.wait_until(lambda: load.done, "every upload to be acknowledged", seconds=2 * _PATIENCE_S)
        assert load.errors == []
        cluster.wait_until(lambda: work_done(cluster, since=since).settled, "every job to be final", seconds=quiet_s)
        cluster.wait_until_ready()
        cluster.wait_until(lambda: not staged(cluster), "staging to be empty", seconds=quiet_s)
        rest = time.time()
        cluster.wait_until(lambda: _all_told(cluster, rest), "every worker to tell its rows", seconds=quiet_s)
        return Outcome(
            list(load.accepted.values()), watch.rows(), work_done(cluster, since=since), client.refusals, client.faults
        )


def break_on_schedule(cluster: Cluster, breaker: Breaker, faults: Sequence[Fault], tell: Callable[[str], None]) -> None:
    """Begins and ends faults at their times, tending the cluster meanwhile."""
    begins = [(fault.at_s, 0, fault, breaker.begin) for fault in faults]
    ends = [(fault.at_s + fault.lasts_s, 1, fault, breaker.end) for fault in faults if fault.lasts_s]
    started = time.monotonic()
    for when, _, fault, act in sorted(begins + ends, key=lambda event: event[:3]):
        while time.monotonic() - started < when:
            cluster.tend()
            time.sleep(_TEND_S)
        if act == breaker.begin:
            tell(str(fault))
        act(fault)


def forget(cluster: Cluster) -> None:
    """Deletes every series, so that the same ones can be embedded anew; their jobs stay in the ledger."""
    with Client(cluster.urls[0], cluster.api_key) as client:
        for series in list(client.series.list()):
            client.series.delete(series.series_uid)


def _all_told(cluster: Cluster, since: float) -> bool:
    """Whether every living worker has reported since a time; a dead one's last report may be on the board for a while."""
    pids = {cluster.pid(name) for name in cluster.names if not name.startswith("api-")}
    told = {int(worker.name.rpartition(":")[2]) for worker in cluster.workers() if worker.seen_at > since}
    return pids <= told
