"""Reports of trainings, format 2, over drawn predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

JSON = dict[str, Any]


def written_report(labels: list[str], *, kind: str = "multilabel", n: int = 120, seed: int = 0) -> JSON:
    """What `train_head` writes for a task of probabilities: every key of format 2.

    Args:
        labels: of the task.
        kind: binary or multilabel.
        n: cases, the last fifth of them in the test part.
        seed: of the drawn answers.
    """
    draw = np.random.default_rng(seed)
    truth = (draw.random((n, len(labels))) < 0.4).astype(int)
    score = 1 / (1 + np.exp(-(1.6 * (2 * truth - 1) + 1.3 * draw.normal(size=truth.shape))))
    n_test = n // 5
    rows = [
        {
            "index": at,
            "unit": f"u{at}",
            "patient": f"patient-{at}",
            "fold": at % 5 if at < n - n_test else None,
            "repeat": 0,
            "target": [float(value) for value in truth[at]],
            "outputs": [float(value) for value in score[at]],
            "probabilities": [float(value) for value in score[at]],
        }
        for at in range(n)
    ]
    pooled, test = slice(0, n - n_test), slice(n - n_test, n)
    folds = [
        {
            "fold": fold,
            "repeat": 0,
            "n_train": n - n_test - (n - n_test) // 5,
            "n_validation": (n - n_test) // 5,
            "best_epoch": 5 + fold,
            "epochs": 12,
            "steps": 120,
            "validation_loss": 0.31 + 0.01 * fold,
            "curve": {
                "train_loss": [float(0.7 * 0.85**epoch) for epoch in range(12)],
                "validation_loss": [float(0.7 * 0.9**epoch + 0.002 * epoch**1.5) for epoch in range(12)],
            },
            **_measures(labels, truth[fold : n - n_test : 5], score[fold : n - n_test : 5]),
        }
        for fold in range(5)
    ]
    return {
        "format": 2,
        "task": {"kind": kind, "labels": labels, "outputs": labels},
        "head": {"architecture": "abmil", "width": 256, "dropout": 0.5, "instance_weight": 0.3, "instances": 8},
        "training": {"lr": 1e-3, "batch_size": 8, "max_epochs": 60, "folds": 5, "seed": 7, "windows": None},
        "protocol": {"validation": "cross_validation", "repeats": 1, "calibration": "temperature", "splits": None},
        "dim": 30,
        "level": "slice",
        "n_cases": n,
        "n_units": n,
        "n_patients": n,
        "folds": folds,
        "mean": {"auroc": 0.93, "auprc": 0.9},
        "sd": {"auroc": 0.02, "auprc": 0.03},
        "pooled": _measures(labels, truth[pooled], score[pooled]),
        "test": _measures(labels, truth[test], score[test]),
        "calibration": {
            "method": "temperature",
            "fitted_on": {"predictions": "out_of_fold", "n_units": n - n_test},
            "before": {"brier": 0.14, "ece": 0.08},
            "after": {"brier": 0.12, "ece": 0.03},
            "parameters": {"temperature": 1.31},
        },
        "out_of_fold": rows[pooled],
        "test_predictions": rows[test],
        "curves": {
            "pooled": _curves(labels, truth[pooled], score[pooled]),
            "test": _curves(labels, truth[test], score[test]),
        },
        "splits": {"test": [f"patient-{at}" for at in range(n - n_test, n)], "folds": []},
        "data_digest": "d" * 64,
        "versions": {"slicebank": "0.1.0", "torch": "2.9"},
        "device": "cpu",
        "seconds": 12.34,
        "warnings": ["At most 60 optimiser steps a fold are few to learn from."],
    }


def survival_report() -> JSON:
    """The same for survival: one risk a case, two groups of the Kaplan-Meier estimator."""
    report = written_report(["time", "death"], kind="survival")
    times = [float(value) for value in range(2, 40, 2)]
    report["task"] = {"kind": "survival", "labels": ["time", "death"], "outputs": ["death"]}
    report["pooled"] = {"c_index": 0.71, "intervals": {"c_index": [0.63, 0.79]}}
    report["test"] = {"c_index": 0.68}
    report["mean"], report["sd"] = {"c_index": 0.7}, {"c_index": 0.05}
    report["calibration"] = {"method": "none"}
    for row in [*report["out_of_fold"], *report["test_predictions"]]:
        row["target"], row["outputs"] = [12.5, float(row["index"] % 2)], [0.2]
        del row["probabilities"]
    groups = {
        name: {
            "n": 48,
            "time": times,
            "survival": [float(rate**time) for time in times],
            "low": [max(0.0, float(rate**time) - 0.1) for time in times],
            "high": [min(1.0, float(rate**time) + 0.1) for time in times],
            "censored": [5.0, 11.0],
        }
        for name, rate in (("low risk", 0.99), ("high risk", 0.96))
    }
    report["curves"] = {"pooled": {"kaplan_meier": {"groups": groups, "log_rank_p": 0.0123}}}
    return report


def _measures(labels: list[str], truth: Any, score: Any) -> JSON:
    by_label = {
        label: {
            "n": len(truth),
            "positives": int(truth[:, at].sum()),
            "auroc": float(roc_auc_score(truth[:, at], score[:, at])),
            "auprc": float(average_precision_score(truth[:, at], score[:, at])),
            "ece": 0.05,
            "intervals": {"auroc": [0.81, 0.97]},
        }
        for at, label in enumerate(labels)
    }
    top = {name: float(np.mean([values[name] for values in by_label.values()])) for name in ("auroc", "auprc", "ece")}
    return {**top, "accuracy": None, "intervals": {"auroc": [0.85, 0.96]}, "labels": by_label}


def _curves(labels: list[str], truth: Any, score: Any) -> JSON:
    curves: JSON = {}
    for at, label in enumerate(labels):
        fpr, tpr, _ = roc_curve(truth[:, at], score[:, at])
        precision, recall, _ = precision_recall_curve(truth[:, at], score[:, at])
        observed, predicted = calibration_curve(truth[:, at], score[:, at], n_bins=5)
        curves[label] = {
            "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "threshold": [None, *([0.5] * (len(fpr) - 1))]},
            "pr": {"precision": precision.tolist(), "recall": recall.tolist(), "threshold": []},
            "calibration": {
                "predicted": predicted.tolist(),
                "observed": observed.tolist(),
                "n": [10] * len(observed),
            },
        }
        said = (score[:, at] >= 0.5).astype(int)
        counts = [[int(((truth[:, at] == known) & (said == place)).sum()) for place in (0, 1)] for known in (0, 1)]
        curves[label]["calibrated"] = {**curves[label]["calibration"], "predicted": observed.tolist()}
        curves[label]["confusion"] = {"labels": ["0", "1"], "counts": counts}
    return curves
