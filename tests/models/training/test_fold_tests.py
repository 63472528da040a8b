"""Each fold's head by itself on the held-out test patients, as the paper's tables judge it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sklearn.metrics import roc_auc_score

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.ensemble import HeadEnsemble
from tests.models.training.test_train_head import BINARY, DIM, QUICK, Memory, train


def test_each_fold_alone_is_judged_on_the_test_patients() -> None:
    targets = [at % 2 for at in range(60)]
    trained = train(targets, training=replace(QUICK, max_epochs=3, test_fraction=0.3))
    tests = [row["index"] for row in trained.report["test_predictions"]]
    assert len(tests) == 18
    bags = Memory(targets).bags
    truth = [targets[at] for at in tests]
    heads = trained.ensemble._heads
    assert len(trained.report["folds"]) == len(heads) == 3
    judged = [fold["test"] for fold in trained.report["folds"]]
    for fold, head in zip(judged, heads, strict=True):
        alone = HeadEnsemble(
            BINARY, dim=DIM, level=EncoderLevel.SLICE, folds=[head.state_dict()], head=trained.ensemble.head
        )
        said = [alone.predict(bags[at]).outputs[0].probability for at in tests]
        assert fold["labels"]["lesion"]["auroc"] == pytest.approx(roc_auc_score(truth, said), abs=1e-12)
        assert fold["labels"]["lesion"]["n"] == 18
    # Heads differ, and none of them is the ensemble.
    assert len({fold["brier"] for fold in [*judged, trained.report["test"]]}) == 4


def test_without_test_patients_folds_tell_no_test() -> None:
    trained = train([at % 2 for at in range(30)], training=replace(QUICK, max_epochs=1, test_fraction=0.0))
    assert trained.report["test"] is None
    assert not any("test" in fold for fold in trained.report["folds"])
