"""External validation: a served head measured on labelled cases of another cohort."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slicebank_models.errors import NoCases, TrainingCancelled
from slicebank_models.heads.answers import HeadPrediction
from slicebank_models.heads.spec import TaskSpec
from slicebank_models.heads.targets import Case
from slicebank_models.training.leakage import leakage
from slicebank_models.training.report import FORMAT, evaluation_of

JSON = dict[str, Any]


class Bags(Protocol):
    """Rows of stored bags by the index of their case."""

    def features(self, index: int) -> NDArray[np.float32]: ...  # noqa: D102 - see the class


class Answering(Protocol):
    """A head as it is served: `heads.ensemble.HeadEnsemble`."""

    task: TaskSpec

    def predict(self, features: NDArray[np.float32]) -> HeadPrediction: ...  # noqa: D102 - see the class


def evaluate(
    ensemble: Answering,
    bags: Bags,
    cases: Sequence[Case],
    *,
    trained_patients: Collection[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], bool] = lambda done, total: False,
) -> JSON:
    """Measures a head on cases that it should not have seen.

    Args:
        ensemble: The head; its task names the order of the targets.
        bags: Rows of the cases by their index.
        cases: With targets resolved against the head's task.
        trained_patients: Whom the head learned from or was stopped by, for the check of leakage.
        resamples: Of patients, for intervals.
        seed: Of the resamplings.
        progress: Called before every case with cases done and all; True cancels.

    Returns:
        `format`, `n_cases`, `n_units`, `n_patients`, `metrics` (shaped like `test` of a head's report), `curves`, `predictions` (like
        `test_predictions`), `leakage` with the patients on both sides, and `warnings`.

    Raises:
        NoCases: No case has a known target.
        TrainingCancelled: `progress` said so.
    """
    known = [case for case in cases if any(answer is not None for answer in case.target)]
    if not known:
        raise NoCases("No case has a known label.")
    answers = []
    for done, case in enumerate(known):
        if progress(done, len(known)):
            raise TrainingCancelled("The evaluation was cancelled.")
        answers.append(ensemble.predict(bags.features(case.index)).outputs)
    progress(len(known), len(known))
    found = evaluation_of(ensemble.task, known, answers, resamples=resamples, seed=seed)
    seen = leakage(trained_patients=trained_patients, patients={case.patient for case in known})
    warnings = [seen.sentence] if seen else []
    if left := len(cases) - len(known):
        warnings.append(f"{left} cases without a known label are left out.")
    return {
        "format": FORMAT,
        "n_cases": len(known),
        "n_units": found["metrics"]["n_units"],
        "n_patients": found["metrics"]["n_patients"],
        **found,
        "leakage": {"patients": list(seen.patients)},
        "warnings": warnings,
    }
