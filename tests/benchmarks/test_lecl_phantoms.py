"""The parts of the comparison of LECL and MoCo v3 on phantoms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.form import Form
from benchmarks.lecl_phantoms import make_cache, measure, measure_fewer_boxes, split_of
from benchmarks.lecl_phantoms.baselines import baselines
from benchmarks.lecl_phantoms.setting import EVALUATED, PHANTOMS, SPEC, TRAINED, Size
from benchmarks.lecl_phantoms.source import LESION, MimicSource
from slicebank_models.pretraining.slice_cache import SliceCache

SIZE = Size(train_patients=40, held_out_patients=20, annotated=0.5, seeds=1, lesion_weights=(0.0,))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> SliceCache:
    return make_cache(tmp_path_factory.mktemp("mimics") / "cache", SIZE)


def test_patients_are_apart_and_keep_clear_of_those_of_tuning() -> None:
    full = Size.of(Form.FULL)
    assert TRAINED + full.train_patients <= EVALUATED
    assert EVALUATED + full.held_out_patients <= 10_000
    assert [SPEC.run.seed, full.seeds] == [0, 5]


def test_every_slice_is_labelled_and_half_of_the_lesions_have_boxes(cache: SliceCache) -> None:
    train, held_out = split_of(cache, SIZE)
    assert not set(cache.patients[train]) & set(cache.patients[held_out])
    assert len(train) + len(held_out) == len(cache) == 60 * PHANTOMS.slices
    lesion = cache.labels == LESION
    assert lesion.mean() == 0.5
    assert not cache.annotated[~lesion].any()
    assert cache.annotated[lesion].mean() == pytest.approx(0.5, abs=0.1)
    everything = MimicSource([TRAINED], PHANTOMS, 1.0, "all")
    assert sum(bool(one.boxes) for one in everything.slices()) == PHANTOMS.slices // 2
    assert everything.left_out == ()


def test_statistics_of_hu_stay_below_the_limit(cache: SliceCache) -> None:
    train, held_out = split_of(cache, SIZE)
    lesion = cache.labels == LESION
    found = baselines(cache.read(train), lesion[train], cache.read(held_out), lesion[held_out])
    assert len(found) == 4
    assert max(found.values()) < 0.65


def test_baselines_see_what_statistics_can_see() -> None:
    generator = np.random.default_rng(0)
    hu = generator.normal(100, 10, (80, 16, 16)).astype(np.int16)
    lesion = np.arange(80) % 2 == 0
    hu[lesion, :4, :4] += 200
    assert baselines(hu[:40], lesion[:40], hu[40:], lesion[40:])["mean and max HU"] == 1.0


def test_both_methods_and_the_untrained_network_are_measured(cache: SliceCache, tmp_path: Path) -> None:
    spec = replace(SPEC, run=replace(SPEC.run, max_steps=1))
    results, figures = measure(cache, SIZE, tmp_path, spec)
    assert [one.variant.title for one in results] == ["MoCo", "LECL-0"]
    assert [entry["method"] for entry in figures["methods"]] == ["MoCo", "LECL-0"]
    assert 0.4 < figures["untrained"]["mean"] < 0.9
    assert (figures["train_slices"], figures["held_out_slices"]) == (320, 160)


def test_lecl_is_measured_with_few_boxes(cache: SliceCache, tmp_path: Path) -> None:
    found = measure_fewer_boxes(cache, SIZE, tmp_path, replace(SPEC, run=replace(SPEC.run, max_steps=1)))
    assert found["annotated_share_of_slices"] == pytest.approx(0.25, abs=0.05)
    assert len(found["aurocs"]) == 1
    assert 0.4 < found["mean"] < 0.9
