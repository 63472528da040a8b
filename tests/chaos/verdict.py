"""What is left after a run, read from PostgreSQL and S3 themselves, past all of slicebank's own code for reading them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import dict_row

from slicebank import UploadedSeries
from tests.chaos.load import SLEEPER, Piece
from tests.cluster.deployment import Cluster

# Where a network's rows may differ between two runs: batches of other sizes round otherwise, in bfloat16 by some 1e-2 of a row.
_NETWORK_TOLERANCE = 0.02
_FINAL = ("succeeded", "failed", "cancelled")

Accepted = Iterable[tuple[Piece, UploadedSeries]]
Datasets = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Work:
    """What the ledger says of the work that was done.

    Attributes:
        jobs: how many there are.
        states: how many of each state.
        claims: how often a job was taken; each job once, where nothing fails.
        attempts: how many runs counted against jobs.
        lost_leases: how many leases ran out without progress since.
    """

    jobs: int
    states: Counter[str]
    claims: int
    attempts: int
    lost_leases: int

    @property
    def settled(self) -> bool:
        """Whether every job is final."""
        return all(state in _FINAL for state in self.states)


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        wrong: a sentence for each thing that is not as it must be.
        bags: datasets of each bag, by series and encoder.
    """

    wrong: list[str] = field(default_factory=list)
    bags: dict[tuple[str, str], Datasets] = field(default_factory=dict)


def work_done(cluster: Cluster, *, since: float) -> Work:
    """Reads the ledger of the jobs that were made since a time, seconds since 1970."""
    rows = _query(cluster, f"SELECT state, fence, attempts, lost_leases FROM jobs WHERE created_at >= {since!r}")
    return Work(
        jobs=len(rows),
        states=Counter(row["state"] for row in rows),
        claims=sum(row["fence"] for row in rows),
        attempts=sum(row["attempts"] for row in rows),
        lost_leases=sum(row["lost_leases"] for row in rows),
    )


def judge(
    cluster: Cluster, accepted: Accepted, *, undisturbed: Mapping[tuple[str, str], Datasets] | None = None
) -> Verdict:
    """Looks at every accepted series.

    Args:
        cluster: at rest.
        accepted: what was sent, and how it was acknowledged.
        undisturbed: the bags of a run in which nothing failed.
    """
    verdict = Verdict()
    bags = _query(
        cluster, "SELECT bag_id, series_uid, encoder, recipe_digest, sha256, size_bytes, n_rows, blob_key FROM bags"
    )
    for key, count in Counter((bag["series_uid"], bag["recipe_digest"]) for bag in bags).items():
        if count != 1:
            verdict.wrong.append(f"series and recipe {key} have {count} bags")
    by_id = {bag["bag_id"]: bag for bag in bags}
    promised = set()
    for piece, series in accepted:
        promised.add(series.bag_id)
        bag = by_id.get(series.bag_id)
        if bag is None:
            verdict.wrong.append(f"{piece.folder.name}: the promised bag {series.bag_id} is not there")
            continue
        _judge_bag(cluster, piece, bag, verdict, undisturbed)
    if unasked := set(by_id) - promised:
        verdict.wrong.append(f"bags that no acknowledged upload asked for: {sorted(unasked)}")
    for row in _query(cluster, "SELECT job_id, state, error_code, error_detail FROM jobs WHERE state <> 'succeeded'"):
        verdict.wrong.append(f"job {row['job_id']} is {row['state']}: {row['error_code']} {row['error_detail']}")
    return verdict


def leftovers(cluster: Cluster) -> list[str]:
    """Everything in the bucket that no row of the catalogue names, and every file in the making or waiting to be embedded."""
    named = {f"blobs/{row['blob_key']}" for row in _query(cluster, "SELECT blob_key FROM bags")}
    scratch = (
        path for path in (cluster.data_dir / "scratch").rglob("*") if path.is_file() and not path.name.endswith(".lock")
    )
    return [*sorted(set(cluster.seaweed.names()) - named), *map(str, scratch), *map(str, staged(cluster))]


def tidied(cluster: Cluster) -> list[str]:
    """What is wrong after `slicebank admin gc`: by slicebank's own word, and what is left over all the same."""
    wrong = []
    for command in ("gc", "verify"):
        done = cluster.command("admin", command)
        if done.returncode != 0:
            wrong.append(f"admin {command} ends with {done.returncode}: {done.stdout}{done.stderr}")
    return wrong + leftovers(cluster)


def staged(cluster: Cluster) -> list[Path]:
    """What lies in staging."""
    return sorted((cluster.data_dir / "staging").iterdir())


def _judge_bag(
    cluster: Cluster,
    piece: Piece,
    bag: Mapping[str, Any],
    verdict: Verdict,
    undisturbed: Mapping[tuple[str, str], Datasets] | None,
) -> None:
    name = f"{piece.folder.name} ({piece.encoder})"
    try:
        content = cluster.seaweed.read(f"blobs/{bag['blob_key']}")
    except FileNotFoundError:
        verdict.wrong.append(f"{name}: its blob {bag['blob_key']} is not there")
        return
    if len(content) != bag["size_bytes"] or hashlib.sha256(content).hexdigest() != bag["sha256"]:
        verdict.wrong.append(f"{name}: its blob is not what the catalogue recorded")
        return
    datasets = _datasets(content)
    key = (bag["series_uid"], bag["encoder"])
    verdict.bags[key] = datasets
    if bag["encoder"] != piece.encoder or bag["n_rows"] != piece.rows or len(datasets["feats"]) != piece.rows:
        verdict.wrong.append(f"{name}: its bag has {len(datasets['feats'])} rows of {bag['encoder']}, not {piece.rows}")
    elif undisturbed is not None:
        verdict.wrong += [f"{name}: {what}" for what in _differences(datasets, undisturbed[key], piece.encoder)]


def _differences(found: Datasets, expected: Datasets, encoder: str) -> list[str]:
    wrong = []
    if set(found) != set(expected):
        return [f"datasets {sorted(found)}, not {sorted(expected)}"]
    for name, values in found.items():
        if name == "feats" and encoder != SLEEPER:
            largest = np.linalg.norm(values - expected[name], axis=1) / np.linalg.norm(expected[name], axis=1)
            if not largest.max() <= _NETWORK_TOLERANCE:
                wrong.append(f"a row differs by {largest.max():g} of its length from the undisturbed one")
        elif _content(values) != _content(expected[name]):
            wrong.append(f"{name} differs from the undisturbed one")
    return wrong


def _content(values: NDArray[Any]) -> tuple[str, list[bytes]]:
    """Type and bytes; of strings and pictures, which differ in length, each one's."""
    if values.dtype != object:
        return str(values.dtype), [values.tobytes()]
    return "object", [bytes(value) for value in values]


def _datasets(content: bytes) -> Datasets:
    with h5py.File(io.BytesIO(content)) as file:
        return {name: file[name][()] for name in file}


def _query(cluster: Cluster, query: str) -> list[dict[str, Any]]:
    address = cluster.catalogue_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()
