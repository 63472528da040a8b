"""Runs of an ablation, and what is made of them."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicebank_models.errors import BadPretrainingCheckpoint, BadPretrainingSetting, UnknownArchitecture
from slicebank_models.pretraining import ablation
from slicebank_models.pretraining.ablation import AblationResult, ablation_tasks, run_ablation
from slicebank_models.pretraining.ablation_figure import draw_ablation
from slicebank_models.pretraining.ablation_plan import AblationPlan, Variant
from slicebank_models.pretraining.ablation_report import ablation_csv, ablation_page, summarise, write_reports
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.spec import Method, PretrainingSpec
from slicebank_models.pretraining.splitting import split_patients
from tests.models.pretraining.tiny_cache import WINDOWS, TinySource, tiny_cache

SMALL = "timm:test_convnext"
SPEC = PretrainingSpec.parse(
    {
        "model": {"architecture": SMALL, "input_size": 32, "projection_dim": 8, "hidden_dim": 16},
        "views": {"windows": ["abdomen"]},
        "optimiser": {"batch_size": 8, "epochs": 1, "warmup_epochs": 0.0},
        "run": {
            "seed": 3,
            "precision": "fp32",
            "validation_fraction": 0.34,
            "max_steps": 2,
            "probe_epochs": 0,
            "readers": 1,
        },
    }
)
PLAN = AblationPlan(SPEC, (SMALL,), (0.0, 1.0))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return tiny_cache(tmp_path_factory.mktemp("ablation") / "cache", TinySource(labels=("a", "b", "c")))


@pytest.fixture(scope="module")
def done(cache: SliceCache, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[AblationResult]]:
    folder = tmp_path_factory.mktemp("ablation") / "out"
    return folder, [result for found in run_ablation(cache, PLAN, folder, windows=WINDOWS) for result in found]


def result(
    method: Method, weight: float, seed: int, auroc: float, task: str = "lesion", architecture: str = "a"
) -> AblationResult:
    return AblationResult(architecture, method, weight, seed, task, auroc, 0.5, 2, 40, 20, 5, 1.0, 2.0)


RESULTS = [
    *(result(Method.MOCO, 0.0, seed, value) for seed, value in enumerate((0.6, 0.7, 0.5))),
    *(result(Method.LECL, 0.0, seed, value) for seed, value in enumerate((0.7, 0.75, 0.5))),
    *(result(Method.LECL, 3.0, seed, value) for seed, value in enumerate((0.6,))),
]


def test_a_plan_trains_every_variant_before_it_takes_the_next_seed() -> None:
    plan = AblationPlan(SPEC, ("mambaout_femto", SMALL), (5, 0.5), seeds=2)
    runs = plan.runs()
    assert [(run.variant.title, run.seed) for run in runs[:3]] == [("MoCo", 3), ("LECL-0.5", 3), ("LECL-5", 3)]
    assert [run.seed for run in runs] == [3] * 6 + [4] * 6
    assert len({run.name for run in runs}) == 12
    for run in runs:
        assert (run.spec.model.architecture, run.spec.run.seed) == (run.variant.architecture, run.seed)
        assert (run.spec.loss.method, run.spec.loss.lesion_weight) == (run.variant.method, run.variant.lesion_weight)
        same = replace(run.spec, model=SPEC.model, loss=SPEC.loss, run=SPEC.run)
        assert same == SPEC
    assert runs[-1].name == "timm-test_convnext-lecl-5-seed4"


@pytest.mark.parametrize(
    ("architectures", "weights", "seeds"),
    [
        ((), (0,), 1),
        ((SMALL,), (), 1),
        ((SMALL,), (0,), 0),
        ((SMALL, SMALL), (0,), 1),
        ((SMALL,), (1, 1.0), 1),
        ((SMALL,), (-1,), 1),
    ],
)
def test_plans_that_compare_nothing_are_refused(
    architectures: tuple[str, ...], weights: tuple[float, ...], seeds: int
) -> None:
    with pytest.raises(BadPretrainingSetting):
        AblationPlan(SPEC, architectures, weights, seeds)


def test_every_run_is_judged_on_the_same_held_out_patients(
    cache: SliceCache, done: tuple[Path, list[AblationResult]]
) -> None:
    _, results = done
    assert [(r.variant.title, r.task) for r in results] == [
        (title, task) for title in ("MoCo", "LECL-0", "LECL-1") for task in ("label", "lesion")
    ]
    _, held_out = split_patients(cache, 0.34, 3)
    for found in results:
        assert (found.held_out_slices, found.train_slices) == (len(held_out), len(cache) - len(held_out))
        assert found.held_out_patients == 2
        assert found.classes == (3 if found.task == "label" else 2)
        assert 0.0 <= found.auroc <= 1.0
        assert found.loss > 0
    # MoCo v3 and LECL see other views, a weight of 1 another loss.
    assert len({found.loss for found in results}) == 3


def test_runs_that_are_there_are_not_done_again(
    cache: SliceCache, done: tuple[Path, list[AblationResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, results = done
    began: list[str] = []
    monkeypatch.setattr(ablation, "pretrain", None)
    again = run_ablation(cache, PLAN, folder, windows=WINDOWS, on_run=lambda number, run: began.append(run.name))
    assert [one for found in again for one in found] == results
    assert len(began) == 3


def test_judging_again_gives_the_same(cache: SliceCache, done: tuple[Path, list[AblationResult]]) -> None:
    """A run whose result was lost is not trained again: its checkpoint is at the end."""
    folder, results = done
    place = folder / "runs" / PLAN.runs()[0].name
    (place / "result.json").unlink()
    before = (place / "checkpoint.pt").read_bytes()
    first = next(run_ablation(cache, PLAN, folder, windows=WINDOWS))
    assert [one.auroc for one in first] == [one.auroc for one in results[:2]]
    assert (place / "checkpoint.pt").read_bytes() == before


def test_a_folder_of_other_settings_is_refused(cache: SliceCache, done: tuple[Path, list[AblationResult]]) -> None:
    folder, _ = done
    other = AblationPlan(replace(SPEC, loss=replace(SPEC.loss, temperature=0.3)), (SMALL,), (0.0,))
    with pytest.raises(BadPretrainingCheckpoint, match=r"loss\.temperature"):
        next(run_ablation(cache, other, folder, windows=WINDOWS))
    (folder / "runs" / PLAN.runs()[2].name / "result.json").write_text("{")
    with pytest.raises(BadPretrainingCheckpoint, match="remove it"):
        list(run_ablation(cache, PLAN, folder, windows=WINDOWS))
    (folder / "runs" / PLAN.runs()[2].name / "result.json").unlink()


def test_a_folder_of_other_slices_is_refused(
    cache: SliceCache, done: tuple[Path, list[AblationResult]], tmp_path: Path
) -> None:
    folder, _ = done
    other = tiny_cache(tmp_path / "other", TinySource(labels=("a", "b", "c"), seed=1))
    assert next(run_ablation(cache, PLAN, folder, windows=WINDOWS))
    with pytest.raises(BadPretrainingCheckpoint, match="other slices"):
        next(run_ablation(other, PLAN, folder, windows=WINDOWS))


def test_a_run_that_is_stopped_goes_on(cache: SliceCache, tmp_path: Path) -> None:
    assert list(run_ablation(cache, PLAN, tmp_path, windows=WINDOWS, stop=lambda: True)) == []
    (place,) = (tmp_path / "runs").iterdir()
    assert not (place / "result.json").exists()
    first = next(run_ablation(cache, PLAN, tmp_path, windows=WINDOWS))
    assert first[0].method is Method.MOCO
    assert json.loads((place / "result.json").read_text())["cache_digest"] == cache.digest


def test_no_run_is_trained_on_the_patients_it_is_judged_on(cache: SliceCache, tmp_path: Path) -> None:
    split = np.arange(16), np.arange(16, len(cache))
    first = next(run_ablation(cache, PLAN, tmp_path, windows=WINDOWS, split=split))
    record = json.loads((tmp_path / "runs" / PLAN.runs()[0].name / "record.json").read_text())
    assert (record["train_slices"], record["train_patients"]) == (16, 2)
    assert (first[0].train_slices, first[0].held_out_slices, first[0].held_out_patients) == (16, 32, 4)


def test_slices_without_boxes_or_without_a_question_are_refused(tmp_path: Path) -> None:
    plain = tiny_cache(tmp_path / "plain", TinySource(2, boxes=False))
    with pytest.raises(BadPretrainingSetting, match="lesion box"):
        next(run_ablation(plain, PLAN, tmp_path / "a", windows=WINDOWS))
    boxed = tiny_cache(tmp_path / "boxed", TinySource(1))
    with pytest.raises(BadPretrainingSetting, match="nothing to compare"):
        next(run_ablation(boxed, PLAN, tmp_path / "b", windows=WINDOWS))
    with pytest.raises(UnknownArchitecture):
        next(run_ablation(boxed, AblationPlan(SPEC, ("none_such",), (0.0,)), tmp_path / "c", windows=WINDOWS))


def test_tasks_ask_for_labels_and_boxes_and_take_no_more_than_the_most(cache: SliceCache) -> None:
    train, held_out = split_patients(cache, 0.34, 3)
    label, lesion = ablation_tasks(cache, train, held_out, most=10, seed=0)
    assert (label.name, label.classes, lesion.name, lesion.classes) == (
        "label",
        ("a", "b", "c"),
        "lesion",
        ("lesion", "none"),
    )
    for task in (label, lesion):
        assert len(task.train) == len(task.validation) == 10
        assert set(task.train) <= set(train)
        assert set(task.validation) <= set(held_out)
        answers = cache.labels if task is label else np.where(cache.annotated, "lesion", "none")
        assert [task.classes[place] for place in task.train_answers] == answers[task.train].tolist()
        assert [task.classes[place] for place in task.validation_answers] == answers[task.validation].tolist()


def test_means_deviations_and_paired_differences() -> None:
    moco, zero, three = summarise(RESULTS)
    assert (moco.variant, moco.seeds, moco.difference_mean, moco.paired) == (Variant("a", Method.MOCO), 3, None, 0)
    assert (moco.mean, moco.sd) == (pytest.approx(0.6), pytest.approx(0.1))
    assert zero.mean == pytest.approx(0.65)
    assert (zero.difference_mean, zero.difference_sd) == (pytest.approx(0.05), pytest.approx(0.05))
    assert (zero.above, zero.paired) == (2, 3)
    assert (three.seeds, three.sd, three.difference_sd, three.above) == (1, None, None, 0)
    assert three.difference_mean == pytest.approx(0.0)  # of seed 0 alone


def test_the_table_and_the_page_say_what_was_found(tmp_path: Path) -> None:
    write_reports(RESULTS, tmp_path / "new")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "new" / "ablation.csv").read_text())))
    assert (rows[4]["method"], rows[4]["lesion_weight"], rows[4]["seed"], rows[4]["auroc"]) == (
        "lecl",
        "0.0",
        "1",
        "0.75",
    )
    page = (tmp_path / "new" / "ablation.md").read_text()
    assert "| `a` | MoCo | 3 | 0.600 ± 0.100 |  |  |" in page
    assert "| `a` | LECL-0 | 3 | 0.650 ± 0.132 | +0.050 ± 0.050 | 2 of 3 |" in page
    assert "| `a` | LECL-3 | 1 | 0.600 | +0.000 | 0 of 1 |" in page
    assert "20 slices of 5 held-out patients" in page
    assert ablation_csv(RESULTS) == ablation_csv(list(RESULTS))
    assert page == ablation_page(RESULTS)


def test_the_figure_shows_every_weight_and_is_the_same_each_time(tmp_path: Path) -> None:
    both = [*RESULTS, *(replace(one, task="label", architecture="b<1>") for one in RESULTS)]
    draw_ablation(summarise(both), tmp_path / "one.svg")
    draw_ablation(summarise(both), tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    texts = {"".join(node.itertext()).strip() for node in ET.fromstring(drawn).iter() if node.tag.endswith("text")}
    assert {"0", "3", "lesion weight λ", "lesion box or none", "label of the slice"} <= texts
    draw_ablation(summarise(RESULTS[3:]), tmp_path / "without_baseline.svg")
