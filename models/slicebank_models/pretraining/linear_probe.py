"""What a linear classifier makes of the features, on patients it has not seen, while the encoder trains."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicebank_models.encoders.encoder import Encoder
from slicebank_models.pretraining.cropping import resizing_matrix
from slicebank_models.pretraining.grey import window_grey

BATCH = 32
# Of the training slices a probe takes no more than a quarter, unless there are few: else it would cost as much as it tells.
ALWAYS = 256
_STREAM = int.from_bytes(b"probe", "big")


class ProbedCache(Protocol):
    """What of a slice cache a probe reads."""

    @property
    def labels(self) -> NDArray[np.str_]:
        """(n,) class of each slice, empty where unknown."""
        ...

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(n,) whether it has a lesion box."""
        ...

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """(n, side, side) HU, in the order of `indices`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ProbeTask:
    """A question that slices on both sides have an answer to.

    Attributes:
        name: `label`, or `lesion` for whether a slice has a box.
        classes: Their names; the answers are places in them.
        train: Places in the cache.
        validation: Places in the cache, of other patients.
        train_answers: (n,) int64.
        validation_answers: (m,) int64.
    """

    name: str
    classes: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    train_answers: NDArray[np.int64]
    validation_answers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """On the validation slices.

    Attributes:
        auroc: Of two classes, or the mean of each class against the others.
        balanced_accuracy: Mean over the classes of the share that was told right.
    """

    auroc: float
    balanced_accuracy: float


def probe_task(
    cache: ProbedCache, train: NDArray[np.int64], validation: NDArray[np.int64], *, most: int, seed: int
) -> ProbeTask | None:
    """The question to ask: the label where two classes are known on both sides, else lesion or none; None where neither is.

    Args:
        cache: All slices.
        train: Places of those to train on.
        validation: Places of those of the held-out patients.
        most: Slices to take on either side, as many of each class as there are, up to an even share.
        seed: Decides which are taken.
    """
    labels = np.asarray(cache.labels).astype(str)
    lesion = np.where(np.asarray(cache.annotated, bool), "lesion", "none")
    for name, answers in (("label", labels), ("lesion", lesion)):
        both = np.intersect1d(answers[train], answers[validation])
        classes = tuple(str(value) for value in both if value)
        if len(classes) >= 2:
            chosen = _even(train, answers, classes, min(most, max(ALWAYS, len(train) // 4)), seed)
            held_out = _even(validation, answers, classes, most, seed)
            place = {value: number for number, value in enumerate(classes)}
            return ProbeTask(
                name,
                classes,
                chosen,
                held_out,
                np.array([place[value] for value in answers[chosen]], np.int64),
                np.array([place[value] for value in answers[held_out]], np.int64),
            )
    return None


def _even(
    indices: NDArray[np.int64], answers: NDArray[np.str_], classes: Sequence[str], most: int, seed: int
) -> NDArray[np.int64]:
    """Up to `most` places, by turns one of each class, in ascending order."""
    stream = np.random.Philox(key=np.array([seed, 0], np.uint64), counter=np.array([0, 0, 0, _STREAM], np.uint64))
    shuffled = np.random.Generator(stream).permutation(indices)
    turn = np.full(len(shuffled), len(shuffled))
    for value in classes:
        own = np.flatnonzero(answers[shuffled] == value)
        turn[own] = np.arange(len(own))
    ordered = np.argsort(turn, kind="stable")
    return np.sort(shuffled[ordered[: min(most, int((turn < len(shuffled)).sum()))]])


@torch.no_grad()
def embed_slices(
    encoder: Encoder,
    cache: ProbedCache,
    indices: NDArray[np.int64],
    *,
    windows: Tensor,
    input_size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> NDArray[np.float32]:
    """Features of whole slices as the trained encoder will give them, its windows side by side.

    Args:
        encoder: In any mode; left in the mode it was in.
        cache: The slices.
        indices: Places in the cache.
        windows: (W, 2) lowest and highest HU.
        input_size: Side of the encoder's input.
        device: Of the encoder.
        dtype: bfloat16 for autocast to it; else float32.

    Returns:
        (n, W * dim) float32.
    """
    training = encoder.training
    encoder.eval()
    rows = []
    try:
        for start in range(0, len(indices), BATCH):
            hu = torch.from_numpy(cache.read(indices[start : start + BATCH])).to(device)
            zeros = torch.zeros(len(hu), device=device)
            side = hu.shape[1]
            matrix = resizing_matrix(zeros, zeros + side, zeros.bool(), side, input_size)
            features = []
            for bounds in windows.to(device):
                views = matrix @ window_grey(hu, bounds.expand(len(hu), 2)) @ matrix.mT
                with torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16):
                    features.append(encoder(views).float())
            rows.append(torch.cat(features, dim=1).cpu().numpy())
    finally:
        encoder.train(training)
    return np.concatenate(rows)


def fit_probe(task: ProbeTask, train: NDArray[np.float32], validation: NDArray[np.float32]) -> ProbeResult:
    """Fits a logistic regression with balanced classes to standardised features and judges it on the held-out ones."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    train = (train - mean) / (std + 1e-6)
    validation = (validation - mean) / (std + 1e-6)
    model = LogisticRegression(C=0.01, max_iter=500, class_weight="balanced")
    with warnings.catch_warnings():
        # A fit that is not quite at its end is good enough for a curve.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, task.train_answers)
    answers = task.validation_answers
    probabilities = model.predict_proba(validation)
    auroc = (
        roc_auc_score(answers, probabilities[:, 1])
        if len(task.classes) == 2
        else roc_auc_score(answers, probabilities, multi_class="ovr", average="macro")
    )
    return ProbeResult(float(auroc), float(balanced_accuracy_score(answers, model.predict(validation))))
