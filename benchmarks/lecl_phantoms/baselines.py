"""What tells lesion slices without looking at them: statistics of HU, and networks that were never trained."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slicebank_models.pretraining.ablation import ablation_tasks, judge_encoder
from slicebank_models.pretraining.contrastive import build_contrastive
from slicebank_models.pretraining.slice_cache import SliceCache
from slicebank_models.pretraining.spec import PretrainingSpec

# HU; soft tissue in steps that a lesion of 25 to 40 HU crosses.
BINS = [-1100, *range(-200, 600, 25), 3100]
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def hu_statistics(hu: NDArray[np.int16]) -> dict[str, NDArray[np.float64]]:
    """(n, ?) features of (n, rows, columns) slices by the baseline's name."""
    flat = hu.reshape(len(hu), -1).astype(np.float64)
    mean, high = flat.mean(axis=1), flat.max(axis=1)
    histogram = np.stack([np.histogram(row, bins=BINS)[0] for row in flat])
    spread = np.concatenate([flat.std(axis=1)[:, None], np.percentile(flat, PERCENTILES, axis=1).T], axis=1)
    both = np.stack([mean, high], axis=1)
    return {
        "mean HU": mean[:, None],
        "max HU": high[:, None],
        "mean and max HU": both,
        "mean, max, sd, percentiles and histogram": np.concatenate([both, spread, histogram], axis=1),
    }


def baselines(
    train: NDArray[np.int16],
    train_lesion: NDArray[np.bool_],
    held_out: NDArray[np.int16],
    held_out_lesion: NDArray[np.bool_],
) -> dict[str, float]:
    """AUROC on the held-out slices of a logistic regression on each set of statistics."""
    fitted, judged = hu_statistics(train), hu_statistics(held_out)
    found = {}
    for name, features in fitted.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        model.fit(features, train_lesion)
        found[name] = float(roc_auc_score(held_out_lesion, model.decision_function(judged[name])))
    return found


def untrained(
    cache: SliceCache,
    spec: PretrainingSpec,
    windows: Mapping[str, tuple[float, float]],
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    seeds: Sequence[int],
) -> dict[str, float]:
    """Mean and standard deviation of the AUROC of networks with their first weights, through the same probe."""
    tasks = ablation_tasks(cache, *split, most=spec.run.probe_slices, seed=0)[:1]
    found = []
    for seed in seeds:
        encoder = build_contrastive(spec.model, seed).encoder
        found += [one.auroc for _, one in judge_encoder(encoder, cache, spec, tasks, windows, torch.device("cpu"))]
    return {"mean": statistics.fmean(found), "sd": statistics.stdev(found) if len(found) > 1 else 0.0}
