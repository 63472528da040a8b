"""What heads look at in chosen cases: the data of Figure 3, kept so that a second run asks nothing again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicebank.benchmark.case import Case
from slicebank.benchmark.embedding import Bags
from slicebank.benchmark.label_rules import Answers
from slicebank.benchmark.state_file import read_json, write_json
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.benchmark.training import Trained
from slicebank.client import Client
from slicebank.errors import BadTaskFile
from slicebank.records import Prediction

JSON = dict[str, Any]
FILE = "attention.json"
# Cases asked about in search of one that no head learned from; a fifth of the patients are such where there is a test part.
MOST_ASKED = 25


@dataclass(frozen=True, slots=True)
class Attention:
    """What Figure 3 is drawn of.

    Attributes:
        by_case: case -> encoder -> attention by window and slice.
        captions: case -> how it was chosen, and whether heads learned from it.
        new: Whether anything differs from the run before.
    """

    by_case: Mapping[str, Mapping[str, JSON]]
    captions: Mapping[str, str]
    new: bool


def attention_of(
    client: Client,
    task: BenchmarkTask,
    trained: Mapping[str, Trained],
    cases: Sequence[Case],
    bags: Bags,
    answers: Mapping[str, Answers],
    folder: Path,
) -> Attention:
    """Asks the heads about the cases that the task names, or about one that is chosen by rule before any attention is looked at.

    Args:
        client: of the server.
        task: may name cases.
        trained: heads by encoder.
        cases: all that have bags.
        bags: of all cases; the first bag of a case is asked about.
        answers: labels of all cases.
        folder: of the task.

    Raises:
        BadTaskFile: the task names a case that is not there.
    """
    heads = {encoder: head.head.head_id for encoder, head in trained.items()}
    kept = read_json(folder / FILE)
    if kept.get("heads") != heads:
        kept = {}
    names = list(task.cases) or list(kept.get("cases", {}))
    by_name = {case.name: case for case in cases}
    if absent := [name for name in names if name not in by_name]:
        if task.cases:
            raise BadTaskFile(f"figure3 names {absent[0][:64]}, which is no case with bags.")
        names = []
    if not names and heads:
        names = [_unseen(client, heads, cases, bags, answers).name]
    found: dict[str, dict[str, JSON]] = {}
    for name in names:
        known = kept.get("cases", {}).get(name, {})
        found[name] = {
            encoder: known.get(encoder) or _told(client.heads.predict(head_id, bag_id=_bag(bags, encoder, name)))
            for encoder, head_id in heads.items()
        }
    now = {"heads": heads, "cases": found}
    new = now != kept
    if new:
        write_json(folder / FILE, now)
    chosen = (
        "named in the task file" if task.cases else "most positive answers, chosen before any attention was looked at"
    )
    return Attention(found, {name: f"{chosen}; {_seen(told)}" for name, told in found.items()}, new)


def _unseen(
    client: Client, heads: Mapping[str, str], cases: Sequence[Case], bags: Bags, answers: Mapping[str, Answers]
) -> Case:
    """The case with the most positive answers that the heads did not learn from; where all were learned from, the first of all."""
    encoder, head_id = next(iter(heads.items()))
    order = sorted(cases, key=lambda case: -sum(value == "1" for value in answers[case.name].values()))
    for case in order[:MOST_ASKED]:
        if client.heads.predict(head_id, bag_id=_bag(bags, encoder, case.name)).raw.get("in_training") is False:
            return case
    return order[0]


def _bag(bags: Bags, encoder: str, case: str) -> str:
    return bags.by_encoder[encoder][case].bags[0]


def _seen(told: Mapping[str, JSON]) -> str:
    """What is known of the case's part in the training."""
    parts = {item["in_training"] for item in told.values()}
    if parts == {False}:
        return "its patient is not among those that the heads learned from"
    return "heads learned from its patient" if True in parts else "whether heads learned from its patient is not told"


def _told(prediction: Prediction) -> JSON:
    windows: dict[str, list[list[float]]] = {}
    for row in prediction.attention.rows:
        if row.slice_index >= 0:
            windows.setdefault(str(row.window or "all"), []).append([row.slice_index, row.weight])
    return {
        "bag_id": prediction.bag_id,
        "in_training": prediction.raw.get("in_training"),
        "windows": {name: sorted(points) for name, points in windows.items()},
    }
