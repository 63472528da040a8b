"""Does a head trained on some slices of a scan tell which of the scan's other slices show its tumour?

Two real CT with tumours outlined slice by slice: liver tumours (3D-IRCADb-01 case 17, slices of the liver) and a lung tumour (LUNG1, the
one volume that pyradiomics ships). A case is one slice, its rows those of the encoder's windows. The scan is cut into parts of neighbouring
slices; each part in turn is left out of training and measured, and the fold stops by slices of the other parts, so that nothing of the measured
part has decided anything. The lung tumour is in three neighbouring slices: there the parts are every third slice instead, and
neighbours of a measured slice are trained on. `height` is no head at all: the distance from the middle of the training parts' tumour slices. Intervals resample
parts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.form import Form, form_from_arguments
from benchmarks.record import save

if TYPE_CHECKING:
    from benchmarks.encoder_quality.series import EvaluationSeries

CONTIGUOUS_PARTS, INTERLEAVED_PARTS = 8, 3
TRAINING = {"lr": 1e-3, "batch_size": 8, "max_epochs": 60, "patience": 15, "test_fraction": 0.0}
SEED = 3


def run(form: Form) -> None:
    """Encodes both scans by both encoders, trains and measures."""
    from benchmarks.encoder_quality.features import encode
    from benchmarks.encoder_quality.series import DATA, read_series
    from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry

    if not DATA.is_dir():
        print(f"there is no real CT at {DATA}; nothing measured")
        return
    encoders = ("hu_statistics",) if form is Form.SHORT else ("hu_statistics", DEFAULT_ENCODER)
    registry = EncoderRegistry()
    scans: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for series in read_series(Path(scratch)):
            if series.lesion is None or (form is Form.SHORT and series.name != "lung1"):
                continue
            part = parts_of(series)
            scans[series.name] = {
                "slices": int(series.candidates.sum()),
                "tumour_slices": int(series.lesion[series.candidates].sum()),
                "parts": len(set(part[series.candidates].tolist())),
                "height": _height(series, part),
                "encoders": {
                    name: _head(encode(name, [series]), len(registry.get(name).windows), series, part, form)
                    for name in encoders
                },
            }
            print(series.name, scans[series.name], flush=True)
    print(save("tumour_slices", __doc__ or "", {"training": TRAINING, "scans": scans}, form))


def parts_of(series: EvaluationSeries) -> NDArray[np.int64]:
    """Part of every slice (S,): neighbours together, or every third slice where the tumour is in fewer than two parts otherwise."""
    assert series.lesion is not None
    places = np.flatnonzero(series.candidates)
    contiguous = np.zeros(len(series), np.int64)
    contiguous[places] = np.arange(len(places)) * CONTIGUOUS_PARTS // len(places)
    if len(set(contiguous[series.lesion].tolist())) > 1:
        return contiguous
    return np.arange(len(series)) % INTERLEAVED_PARTS


def _height(series: EvaluationSeries, part: NDArray[np.int64]) -> float | None:
    from sklearn.metrics import roc_auc_score

    assert series.lesion is not None
    height = np.arange(len(series), dtype=np.float64)
    score = np.zeros(len(series))
    for left_out in set(part[series.candidates].tolist()):
        middle = height[series.candidates & series.lesion & (part != left_out)].mean()
        score[part == left_out] = -np.abs(height[part == left_out] - middle)
    return float(roc_auc_score(series.lesion[series.candidates], score[series.candidates]))


def _head(
    features: NDArray[np.float32], n_windows: int, series: EvaluationSeries, part: NDArray[np.int64], form: Form
) -> dict[str, Any]:
    from slicebank_models.cards import EncoderLevel
    from slicebank_models.heads.protocol import Calibration, ProtocolSpec, Validation
    from slicebank_models.heads.spec import TaskKind, TaskSpec, TrainingSpec
    from slicebank_models.heads.targets import Case
    from slicebank_models.training.train_head import train_head

    lesion, candidates = series.lesion, np.flatnonzero(series.candidates)
    assert lesion is not None
    rows = features.reshape(len(features), n_windows, -1)

    class Slices:
        def features(self, index: int) -> NDArray[np.float32]:
            return rows[index]

    report = train_head(
        Slices(),
        [Case(int(at), f"part {part[at]}", (int(lesion[at]),)) for at in candidates],
        TaskSpec(TaskKind.BINARY, ("tumour",)),
        TrainingSpec.parse({**TRAINING, "folds": len(set(part[candidates].tolist())), "seed": SEED}),
        protocol=ProtocolSpec(
            validation=Validation.NESTED, repeats=form.pick(1, 3), calibration=Calibration.NONE, stratify=False
        ),
        dim=rows.shape[2],
        level=EncoderLevel.SLICE,
        progress=lambda done, total: False,
    ).report
    return {
        "auroc": report["pooled"]["auroc"],
        "auroc_interval": report["pooled"]["intervals"]["auroc"],
        "auprc": report["pooled"]["auprc"],
        "sensitivity_at_90_specificity": report["pooled"]["sensitivity_at_90_specificity"],
    }


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
