"""A stored head asked about stored bags: one, or several that are one case."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slicebank_models.heads.answers import HeadPrediction, Output
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.protocol import Pooling
from slicebank_models.heads.spec import TaskKind
from slicebank_store.bags import Bag, read_bag
from slicebank_store.catalogue.records import BagRecord, HeadRecord
from slicebank_worker.errors import BagMissing, HeadMissing
from slicebank_worker.jobs.windows import rows_of_windows
from slicebank_worker.runtime import Runtime

# Five folds of the published head on 576-d rows are 5.6 MB.
_HEADS_KEPT = 32
# Log-odds beyond it would be those of a probability that no float tells from 0 or 1.
_SMALLEST = 1e-300


class Heads:
    """Heads of the store; those that were used last stay in memory."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[tuple[str, str], tuple[HeadRecord, HeadEnsemble]] = OrderedDict()

    def load(self, project: str, head_id: str) -> tuple[HeadRecord, HeadEnsemble]:
        """A head version and its weights; as long as it is kept, nothing is asked: a version never changes.

        Of one that was deleted meanwhile no answer is taken (`effects.add_prediction`).

        Raises:
            HeadMissing: it was deleted, or never trained to its end.
        """
        key = (project, head_id)
        if key not in self._kept:
            head = self._runtime.catalogue.heads.get(project, head_id)
            if head is None or head.blob_key is None:
                raise HeadMissing(f"head {head_id} is not there, or was never trained to its end")
            with self._runtime.blobs.open_local(head.blob_key) as path:
                self._kept[key] = (head, HeadEnsemble.from_bytes(path.read_bytes()))
            while len(self._kept) > _HEADS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@dataclass(frozen=True, slots=True)
class ReadBag:
    """A bag, and the rows of it that a head reads.

    Attributes:
        rows: (n) places in the bag.
    """

    record: BagRecord
    bag: Bag
    rows: NDArray[np.intp]

    @property
    def features(self) -> NDArray[np.float32]:
        """(n, D) rows that are read."""
        return self.bag.features if len(self.rows) == len(self.bag.features) else self.bag.features[self.rows]


def read_bags(runtime: Runtime, head: HeadRecord, bag_ids: Sequence[str]) -> list[ReadBag]:
    """Reads bags for a head.

    Raises:
        BagMissing: one was deleted.
        WindowMissing: one lacks a window that the head reads.
    """
    found = []
    for bag_id in bag_ids:
        record = runtime.catalogue.bags.get(head.project, bag_id)
        if record is None:
            raise BagMissing(f"bag {bag_id} is not there; embed its series again")
        with runtime.blobs.open_local(record.blob_key) as path:
            bag = read_bag(path)
        found.append(ReadBag(record, bag, rows_of_windows(bag, head.training.get("windows"))))
    return found


def answer_about(head: HeadRecord, ensemble: HeadEnsemble, bags: Sequence[ReadBag]) -> HeadPrediction:
    """What a head says about one case; attention in the order of the bags and their rows.

    Several bags are one bag where the head's protocol lays rows end to end; otherwise answers are averaged (probabilities, values),
    and of the attention every bag has the same share.
    """
    if len(bags) == 1:
        return ensemble.predict(bags[0].features)
    if head.protocol.get("pooling") == Pooling.ONE_BAG:
        return ensemble.predict(np.concatenate([bag.features for bag in bags]))
    return averaged(ensemble.task.kind, [ensemble.predict(bag.features) for bag in bags])


def averaged(kind: TaskKind, answers: Sequence[HeadPrediction]) -> HeadPrediction:
    """The mean of several answers; `fold_std` is the mean of theirs."""
    outputs = tuple(
        _mean_output(kind, [answer.outputs[place] for answer in answers]) for place in range(len(answers[0].outputs))
    )
    joined = HeadPrediction(
        outputs,
        np.concatenate([answer.attention for answer in answers]) / len(answers),
        np.concatenate([answer.attention_logits for answer in answers]),
    )
    each = [(answer.output_attention, answer.output_attention_logits) for answer in answers]
    weights = [weight for weight, _ in each if weight is not None]
    logits = [logit for _, logit in each if logit is not None]
    if not weights:
        return joined
    return replace(
        joined,
        output_attention=np.concatenate(weights, axis=1) / len(answers),
        output_attention_logits=np.concatenate(logits, axis=1),
    )


def _mean_output(kind: TaskKind, outputs: Sequence[Output]) -> Output:
    probability = _mean([output.probability for output in outputs])
    return replace(
        outputs[0],
        probability=probability,
        logit=None if probability is None else _logit(kind, probability),
        fold_std=math.fsum(output.fold_std for output in outputs) / len(outputs),
        value=_mean([output.value for output in outputs]),
        raw_probability=_mean([output.raw_probability for output in outputs]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _logit(kind: TaskKind, probability: float) -> float:
    log_p = math.log(max(probability, _SMALLEST))
    return log_p if kind is TaskKind.MULTICLASS else log_p - math.log(max(1.0 - probability, _SMALLEST))
