"""Do heads learn to find the one row in 200 that makes a bag positive, and how near do they come to what can be known?

Bags of 200 rows of 96 numbers of unit noise; in half of them one row is moved in a direction that is the same for all. The oracle knows
direction and distance; its AUROC is the most that anyone can reach. Heads learn from `bags` bags in five folds without a held-out part and
are judged, all folds together, on 600 new bags; `cross_validated_auroc` is the mean over the folds, each on its own validation part.
"""

from __future__ import annotations

from typing import Any

from benchmarks.form import Form, form_from_arguments
from benchmarks.record import save

FEW, MANY, TEST = 100, 1000, 600
# Few bags need small batches to take enough steps; the patience is that of a loss that stands still before it falls.
FEW_TRAINING = {"lr": 1e-3, "batch_size": 16, "max_epochs": 60, "patience": 60}
MANY_TRAINING = {"lr": 1e-3, "batch_size": 32, "max_epochs": 20, "patience": 20}
QUICK_TRAINING = {"lr": 3e-3, "batch_size": 8, "max_epochs": 2, "patience": 2, "folds": 2}
EASY, HARD = 12.0, 6.0
EASY_SEEDS = 3
# What is tried where the published head overfits: one change at a time.
REMEDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "abmil": ({}, {}),
    "gated_abmil": ({"architecture": "gated_abmil"}, {}),
    "clam_sb": ({"architecture": "clam_sb"}, {}),
    "mean": ({"architecture": "mean"}, {}),
    "max": ({"architecture": "max"}, {}),
    "abmil, width 32": ({"width": 32}, {}),
    "abmil, dropout 0.8": ({"dropout": 0.8}, {}),
    "abmil, weight decay 1": ({}, {"weight_decay": 1.0}),
}


def run(form: Form) -> None:
    """Trains at every level, and every remedy where it is needed."""
    from benchmarks.synthetic_mil.setting import judge, oracle_auroc, train

    levels: list[dict[str, Any]] = []
    plan: list[tuple[str, int, float, dict[str, Any], dict[str, Any]]]
    if form is Form.SHORT:
        plan = [("abmil", 40, EASY, {"width": 32}, QUICK_TRAINING)]
    else:
        plan = [("abmil", MANY, distance, {}, MANY_TRAINING) for distance in (EASY, 8.0, HARD)]
        plan += [("abmil", FEW, EASY, {}, {**FEW_TRAINING, "seed": seed}) for seed in range(EASY_SEEDS)]
        plan += [(name, FEW, HARD, head, {**FEW_TRAINING, **training}) for name, (head, training) in REMEDIES.items()]
    for name, n_bags, distance, head, training in plan:
        trained = train(n_bags, distance, head=head, training=training)
        levels.append(
            {
                "head": name,
                "bags": n_bags,
                "distance": distance,
                "oracle_auroc": oracle_auroc(distance, 40_000 if form is Form.SHORT else 400_000),
                **judge(trained, distance, form.pick(40, TEST)),
                "best_epochs": [fold["best_epoch"] for fold in trained.report["folds"]],
                "training": training,
            }
        )
        print(levels[-1], flush=True)
        print(
            save("synthetic_mil", __doc__ or "", {"test_bags": form.pick(40, TEST), "levels": levels}, form), flush=True
        )


if __name__ == "__main__":
    run(form_from_arguments(__doc__))
