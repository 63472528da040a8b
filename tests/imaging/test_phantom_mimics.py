"""Slices whose lesions no shortcut tells."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slicebank_imaging.phantom.mimics import BlobKind, MimicSettings, MimicSlice, draw_patient

PATIENTS = [draw_patient(seed) for seed in range(60)]
SLICES = [one for patient in PATIENTS for one in patient]


def test_the_same_seed_gives_the_same_slices() -> None:
    again, other = draw_patient(3), draw_patient(4)
    assert all(np.array_equal(a.hu, b.hu) and a.blobs == b.blobs for a, b in zip(PATIENTS[3], again, strict=True))
    assert not np.array_equal(again[0].hu, other[0].hu)


def test_half_of_a_patients_slices_have_one_lesion_and_the_others_none() -> None:
    for patient in PATIENTS:
        lesions = [sum(blob.kind is BlobKind.LESION for blob in one.blobs) for one in patient]
        assert sorted(lesions) == [0] * 4 + [1] * 4
        assert [one.box is not None for one in patient] == [count == 1 for count in lesions]
        assert [one.height_mm for one in patient] == sorted(one.height_mm for one in patient)


def test_sizes_and_contrasts_are_what_the_settings_say() -> None:
    settings = MimicSettings()
    limits = {
        BlobKind.LESION: settings.lesion_hu,
        BlobKind.VESSEL: settings.vessel_hu,
        BlobKind.CALCIFICATION: settings.calcification_hu,
    }
    for one in SLICES:
        assert settings.blobs[0] - (one.box is None) <= len(one.blobs) <= settings.blobs[1]
        for blob in one.blobs:
            assert 8.0 <= blob.diameter_mm <= 25.0
            low, high = limits[blob.kind]
            assert low <= abs(blob.contrast_hu) <= high
            assert (blob.contrast_hu > 0) == (blob.kind is not BlobKind.LESION)
            assert blob.kind is not BlobKind.LESION or abs(blob.contrast_hu) <= 40.0


def test_lesions_may_be_bright_too() -> None:
    blobs = [blob for seed in range(8) for one in draw_patient(seed, MimicSettings(bright=0.5)) for blob in one.blobs]
    signs = [blob.contrast_hu > 0 for blob in blobs if blob.kind is BlobKind.LESION]
    assert 0.2 < np.mean(signs) < 0.8


def test_lesions_and_mimics_are_alike_in_size_and_place() -> None:
    """Differences of means are below 3 standard errors; seeds are fixed."""
    lesions = [blob for one in SLICES for blob in one.blobs if blob.kind is BlobKind.LESION]
    mimics = [blob for one in SLICES for blob in one.blobs if blob.kind is not BlobKind.LESION]
    for name in ("diameter_mm", "row", "column"):
        assert _standard_errors([getattr(b, name) for b in lesions], [getattr(b, name) for b in mimics]) < 3


def test_neither_the_number_of_blobs_nor_that_of_mimics_tells() -> None:
    truth = [one.box is not None for one in SLICES]
    for numbers in (
        [len(one.blobs) for one in SLICES],
        [sum(blob.kind is not BlobKind.LESION for blob in one.blobs) for one in SLICES],
    ):
        auroc = roc_auc_score(truth, numbers)
        assert max(auroc, 1 - auroc) < 0.65


def test_the_box_is_around_the_lesion() -> None:
    quiet = MimicSettings(noise_hu=(0.0, 0.0), level_hu=0.0)
    for one in draw_patient(11, quiet):
        if one.box is None:
            continue
        (lesion,) = [blob for blob in one.blobs if blob.kind is BlobKind.LESION]
        width = lesion.diameter_mm / quiet.pixel_mm
        assert one.box.row_start <= lesion.row + 0.5 <= one.box.row_stop
        assert one.box.column_start <= lesion.column + 0.5 <= one.box.column_stop
        assert one.box.row_stop - one.box.row_start == pytest.approx(width, abs=1.01)
        assert one.box.column_stop - one.box.column_start == pytest.approx(width, abs=1.01)


def test_mean_extremes_and_histogram_do_not_tell_lesion_slices() -> None:
    """Point 4's limit: AUROC below 0.65 on patients apart, for each statistic and for a regression on all of them."""
    statistics = np.stack([_statistics(one) for one in SLICES])
    truth = np.array([one.box is not None for one in SLICES])
    train = np.repeat(np.arange(len(PATIENTS)) % 3 != 0, 8)
    for column in range(4):
        auroc = roc_auc_score(truth[~train], statistics[~train, column])
        assert max(auroc, 1 - auroc) < 0.65
    for columns in (slice(0, 2), slice(None)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        model.fit(statistics[train, columns], truth[train])
        assert roc_auc_score(truth[~train], model.decision_function(statistics[~train, columns])) < 0.65


def test_the_lesion_itself_can_be_told() -> None:
    """The contrast at the place of the blob tells kinds apart, so that the task can be solved."""
    truth, brightness = [], []
    for one in SLICES:
        for blob in one.blobs:
            row, column = round(blob.row), round(blob.column)
            truth.append(blob.kind is BlobKind.LESION)
            brightness.append(float(one.hu[row - 1 : row + 2, column - 1 : column + 2].mean()))
    assert roc_auc_score(truth, [-value for value in brightness]) > 0.9


def test_blobs_that_find_no_place_are_refused() -> None:
    with pytest.raises(ValueError, match="find no place"):
        draw_patient(0, MimicSettings(blobs=(3, 3), diameters_mm=(90.0, 90.0)))


def _statistics(one: MimicSlice) -> np.ndarray:
    hu = one.hu.astype(np.float64).ravel()
    histogram = np.histogram(hu, bins=[-1100, *range(-200, 600, 50), 3100])[0]
    return np.array([hu.mean(), hu.max(), hu.min(), hu.std(), *histogram])


def _standard_errors(first: list[float] | list[int], second: list[float] | list[int]) -> float:
    error = np.sqrt(np.var(first) / len(first) + np.var(second) / len(second))
    return float(abs(np.mean(first) - np.mean(second)) / error)
