"""What heads look at in chosen cases: the data of Figure 3, kept so that a second run asks nothing again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slicebank.benchmark.case import Case
from slicebank.benchmark.embedding import Bags
from slicebank.benchmark.label_rules import Answers
from slicebank.benchmark.state_file import read_json, write_json
from slicebank.benchmark.task_file import BenchmarkTask
from slicebank.benchmark.training import Trained
from slicebank.client import Client
from slicebank.errors import BadTaskFile, NotFound
from slicebank.records import Prediction

JSON = dict[str, Any]
FILE = "attention.json"


def chosen_cases(task: BenchmarkTask, cases: Sequence[Case], answers: Mapping[str, Answers]) -> tuple[list[Case], str]:
    """The cases of Figure 3, and how they were chosen, as a sentence.

    Raises:
        BadTaskFile: the task names a case that is not there.
    """
    if task.cases:
        by_name = {case.name: case for case in cases}
        if absent := [name for name in task.cases if name not in by_name]:
            raise BadTaskFile(f"figure3 names {absent[0][:64]}, which is no case with bags.")
        return [by_name[name] for name in task.cases], "named in the task file"
    if not cases:
        return [], ""
    most = max(cases, key=lambda case: sum(value == "1" for value in answers[case.name].values()))
    return [most], "the first case with the most positive answers, chosen before any head was looked at"


def attention_of(
    client: Client,
    trained: Mapping[str, Trained],
    cases: Sequence[Case],
    bags: Bags,
    folder: Path,
) -> tuple[JSON, bool]:
    """Case -> encoder -> attention by window and slice.

    Args:
        client: of the server.
        trained: heads by encoder.
        cases: that are asked about.
        bags: of all cases; the first series of a case is asked about.
        folder: of the task.

    Returns:
        The attention, and whether anything of it is new.
    """
    kept = read_json(folder / FILE)
    found: JSON = {}
    for case in cases:
        found[case.name] = {}
        for encoder, head in trained.items():
            bag_id = bags.by_encoder[encoder][case.name].bags[0]
            known = kept.get(case.name, {}).get(encoder, {})
            if (known.get("head_id"), known.get("bag_id")) != (head.head.head_id, bag_id):
                try:
                    known = _told(client.heads.predict(head.head.head_id, bag_id=bag_id))
                except NotFound:
                    continue
            found[case.name][encoder] = known
    if found == kept:
        return found, False
    write_json(folder / FILE, found)
    return found, True


def _told(prediction: Prediction) -> JSON:
    windows: dict[str, list[list[float]]] = {}
    for row in prediction.attention.rows:
        if row.slice_index >= 0:
            windows.setdefault(str(row.window or "all"), []).append([row.slice_index, row.weight])
    return {
        "head_id": prediction.head_id,
        "bag_id": prediction.bag_id,
        "series_uid": prediction.series_uid,
        "outputs": {item["label"]: item.get("probability") for item in prediction.raw.get("outputs", ())},
        "said": [str(text) for text in prediction.raw.get("warnings") or ()],
        "windows": {name: sorted(points) for name, points in windows.items()},
        "top": [item.slice_index for item in prediction.attention.top(3) if item.slice_index >= 0],
    }
