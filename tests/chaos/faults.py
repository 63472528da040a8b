"""What can break in a cluster, and breaking it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.proxy import Proxy
from tests.cluster.deployment import Cluster
from tests.cluster.shape import LEASE_S, Shape

SERVERS = ("catalogue", "broker", "blobs")
# More than a round trip of a healthy network by far, and less than any timeout: slow, not dead.
_DELAY_S = 0.05


class Kind(StrEnum):
    """Kinds of faults."""

    KILL_WORKER = "kill_worker"
    KILL_API = "kill_api"
    PAUSE_WORKER = "pause_worker"
    STOP_CATALOGUE = "stop_catalogue"
    EMPTY_BROKER = "empty_broker"
    STOP_BLOBS = "stop_blobs"
    DROP = "drop"
    REFUSE = "refuse"
    DELAY = "delay"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault.

    Attributes:
        at_s: seconds from the start of the load to its beginning.
        lasts_s: seconds to its end; 0 where it is over at once.
        target: name of a process of slicebank, or of a server.
    """

    at_s: float
    lasts_s: float
    kind: Kind
    target: str

    def __str__(self) -> str:
        lasting = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:6.1f} s  {self.kind} {self.target}{lasting}"


def make_schedule(seed: int, shape: Shape, *, count: int, every_s: float) -> list[Fault]:
    """Faults in the order of their beginning; the same arguments give the same.

    Every kind comes before any comes again. Faults overlap, but never two of one target.

    Args:
        seed: decides everything.
        shape: of the cluster.
        count: how many.
        every_s: mean time between two beginnings, seconds.
    """
    draw = random.Random(seed)
    kinds: list[Kind] = []
    while len(kinds) < count:
        kinds += draw.sample(list(Kind), len(Kind))
    free_at: dict[str, float] = {}
    faults, now = [], 1.0
    for kind in kinds[:count]:
        target = _target(kind, shape, draw)
        begins = max(now, free_at.get(target, 0.0))
        fault = Fault(begins, _duration(kind, draw), kind, target)
        # A process or a server is given a moment to be at work again before it is broken anew.
        free_at[target] = begins + fault.lasts_s + every_s
        faults.append(fault)
        now += draw.uniform(0.5, 1.5) * every_s
    return sorted(faults)


def _target(kind: Kind, shape: Shape, draw: random.Random) -> str:
    match kind:
        case Kind.KILL_WORKER | Kind.PAUSE_WORKER:
            return f"embed-{draw.randint(1, shape.embed)}"
        case Kind.KILL_API:
            return f"api-{draw.randint(1, shape.apis)}"
        case Kind.STOP_CATALOGUE:
            return "catalogue"
        case Kind.EMPTY_BROKER:
            return "broker"
        case Kind.STOP_BLOBS:
            return "blobs"
        case Kind.DROP | Kind.REFUSE | Kind.DELAY:
            return draw.choice(SERVERS)


def _duration(kind: Kind, draw: random.Random) -> float:
    match kind:
        case Kind.KILL_WORKER | Kind.KILL_API | Kind.DROP:
            return 0.0
        case Kind.PAUSE_WORKER:
            return LEASE_S + draw.uniform(1.0, 3.0)  # others must take its jobs, and it must find that out
        case _:
            return draw.uniform(0.5, 5.0)


class Breaker:
    """Begins and ends faults in a cluster, from the cluster's own thread."""

    def __init__(self, cluster: Cluster, proxies: dict[str, Proxy]) -> None:
        self._cluster = cluster
        self._proxies = proxies

    def begin(self, fault: Fault) -> None:
        """Breaks something."""
        target, cluster = fault.target, self._cluster
        match fault.kind:
            case Kind.KILL_WORKER | Kind.KILL_API:
                cluster.signal(target, signal.SIGKILL)
            case Kind.PAUSE_WORKER:
                cluster.signal(target, signal.SIGSTOP)
            case Kind.STOP_CATALOGUE:
                cluster.postgres.stop()
            case Kind.EMPTY_BROKER:
                cluster.valkey.kill()
            case Kind.STOP_BLOBS:
                cluster.seaweed.kill()
            case Kind.DROP:
                self._proxies[target].drop()
            case Kind.REFUSE:
                self._proxies[target].refuse()
            case Kind.DELAY:
                self._proxies[target].delay(_DELAY_S)

    def end(self, fault: Fault) -> None:
        """Mends it."""
        target, cluster = fault.target, self._cluster
        mend: dict[Kind, Callable[[], None]] = {
            Kind.PAUSE_WORKER: lambda: cluster.signal(target, signal.SIGCONT),
            Kind.STOP_CATALOGUE: cluster.postgres.start,
            Kind.EMPTY_BROKER: cluster.valkey.start,
            Kind.STOP_BLOBS: cluster.seaweed.start,
            Kind.REFUSE: lambda: self._proxies[target].accept(),
            Kind.DELAY: lambda: self._proxies[target].delay(0.0),
        }
        if fault.kind in mend:
            mend[fault.kind]()
