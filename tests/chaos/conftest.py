"""One cluster behind proxies for the short runs of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.faults import Breaker
from tests.chaos.load import Piece, write_load
from tests.chaos.proxy import Proxies
from tests.chaos.running import Outcome, forget, run_load
from tests.chaos.verdict import Datasets, judge
from tests.cluster.deployment import Cluster
from tests.cluster.shape import QUICK, Shape

# Nothing is trained or predicted here.
SHORT = Shape(apis=2, embed=2, train=0, predict=0)
SHORT_SERIES, SHORT_WITH_NETWORK = 24, 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster, what breaks it, and what is sent to it."""

    cluster: Cluster
    breaker: Breaker
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A run in which nothing failed, and its bags by series and encoder."""

    outcome: Outcome
    wrong: list[str]
    bags: dict[tuple[str, str], Datasets]


@contextmanager
def staged_cluster(
    folder: Path, shape: Shape, *, series: int, with_network: int, times_longer: int = 1
) -> Iterator[Stage]:
    """Starts a cluster behind proxies, and writes a load."""
    pieces = write_load(folder / "ct", series=series, with_network=with_network, times_longer=times_longer)
    with Proxies() as proxies:
        # On a GPU, too, the network runs on the CPU: both runs then differ by rounding alone.
        settings = {**QUICK, "SLICEBANK_DEVICE": "cpu"}
        cluster = Cluster(folder / "cluster", shape, settings=settings, front=proxies.front)
        try:
            cluster.start()
            yield Stage(cluster, Breaker(cluster, proxies.named), pieces)
        finally:
            cluster.stop()


def run_undisturbed(stage: Stage, *, quiet_s: float) -> Undisturbed:
    """The load with nothing failing; the cluster forgets it again."""
    outcome = run_load(stage.cluster, stage.pieces, quiet_s=quiet_s)
    verdict = judge(stage.cluster, outcome.accepted)
    forget(stage.cluster)
    return Undisturbed(outcome, verdict.wrong, verdict.bags)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("chaos")
    with staged_cluster(folder, SHORT, series=SHORT_SERIES, with_network=SHORT_WITH_NETWORK) as stage:
        yield stage


@pytest.fixture(scope="session")
def undisturbed(stage: Stage) -> Undisturbed:
    return run_undisturbed(stage, quiet_s=60)
