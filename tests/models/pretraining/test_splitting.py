from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.splitting import split_patients


@dataclass
class Slices:
    patients: NDArray[np.int32]
    annotated: NDArray[np.bool_]


def slices(with_boxes: int, without: int, each: int = 3) -> Slices:
    patients = np.repeat(np.arange(with_boxes + without, dtype=np.int32), each)
    return Slices(patients, (patients < with_boxes) & (np.arange(len(patients)) % each == 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 12), st.floats(0, 0.95), st.integers(0, 2**31 - 1))
def test_no_patient_is_on_both_sides_and_no_slice_is_lost(
    with_boxes: int, without: int, fraction: float, seed: int
) -> None:
    cache = slices(with_boxes, without)
    train, validation = split_patients(cache, fraction, seed)
    assert not set(cache.patients[train]) & set(cache.patients[validation])
    np.testing.assert_array_equal(np.sort(np.append(train, validation)), np.arange(len(cache.patients)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    count = with_boxes + without
    held_out = len(set(cache.patients[validation]))
    assert len(train)
    if count > 1 and fraction > 0:
        assert 1 <= held_out <= count - 1
        assert abs(held_out - fraction * count) <= 1


def test_both_kinds_of_patients_are_kept_out_by_the_same_share() -> None:
    cache = slices(20, 60)
    for seed in range(10):
        _, validation = split_patients(cache, 0.2, seed)
        held_out = set(cache.patients[validation])
        assert len(held_out) == 16
        assert sum(patient < 20 for patient in held_out) == pytest.approx(4, abs=1)


def test_a_patient_with_boxes_is_kept_out_as_soon_as_one_can_be_spared() -> None:
    for seed in range(10):
        _, validation = split_patients(slices(2, 18), 0.1, seed)
        assert (validation < 6).any()
        _, validation = split_patients(slices(1, 19), 0.1, seed)
        assert not (validation < 3).any()


def test_the_seed_decides_and_nothing_else() -> None:
    cache = slices(10, 10)
    first = split_patients(cache, 0.3, 5)[1].tolist()
    assert first == split_patients(cache, 0.3, 5)[1].tolist()
    assert any(first != split_patients(cache, 0.3, seed)[1].tolist() for seed in range(6, 12))


def test_nothing_is_kept_out_of_one_patient_or_for_a_share_of_none() -> None:
    assert len(split_patients(slices(1, 0), 0.5, 0)[1]) == 0
    assert len(split_patients(slices(5, 5), 0.0, 0)[1]) == 0


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(BadPretrainingSetting):
        split_patients(slices(2, 2), fraction, 0)
