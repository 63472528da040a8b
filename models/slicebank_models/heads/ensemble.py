"""The served head: the folds of a cross-validation, answering together; kept as safetensors, never as a pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import BadHeadFile, BadTask, DimensionMismatch, HeadError
from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.scan import ScanHead
from slicebank_models.heads.spec import TaskKind, TaskSpec

JSON = dict[str, Any]

FORMAT = 1
METADATA_KEY = "slicebank_head"

Head = AttentionHead | ScanHead


def new_head(level: EncoderLevel, dim: int, n_outputs: int) -> Head:
    """Returns an initialised head: with attention for slice rows, without for a scan's one row."""
    return AttentionHead(dim, n_outputs) if level is EncoderLevel.SLICE else ScanHead(dim, n_outputs)


@dataclass(frozen=True, slots=True)
class Output:
    """One label's answer.

    Attributes:
        probability: Mean of the folds' probabilities.
        logit: Log-odds of `probability` (binary, multilabel) or its logarithm (multiclass).
        fold_std: Standard deviation of the folds' probabilities (divisor: number of folds).
    """

    label: str
    probability: float
    logit: float
    fold_std: float


@dataclass(frozen=True, slots=True)
class HeadPrediction:
    """An answer and the rows that drove it.

    Attributes:
        outputs: One a label.
        attention: (N,) float64, mean of the folds' attention weights, sums to 1.
        attention_logits: (N,) float64, mean of the folds' logits before the softmax.
    """

    outputs: tuple[Output, ...]
    attention: NDArray[np.float64]
    attention_logits: NDArray[np.float64]


class HeadEnsemble:
    """Heads of one task, one a fold.

    Args:
        task: With its outputs' names.
        dim: Length of the rows.
        level: What a row describes.
        folds: State of each fold's head.
    """

    def __init__(self, task: TaskSpec, *, dim: int, level: EncoderLevel, folds: Sequence[Mapping[str, Tensor]]) -> None:
        if not folds:
            raise HeadError("An ensemble needs at least one fold.")
        self.task = task
        self.dim = dim
        self.level = level
        self._heads = [self._head(state) for state in folds]

    @property
    def n_folds(self) -> int:
        """Number of heads that answer together."""
        return len(self._heads)

    def _head(self, state: Mapping[str, Tensor]) -> Head:
        with torch.random.fork_rng(devices=[]):
            head = new_head(self.level, self.dim, self.task.n_outputs)
        head.load_state_dict(dict(state))
        return head.eval().requires_grad_(False)

    def predict(self, features: NDArray[np.float32]) -> HeadPrediction:
        """Answers for one bag.

        Args:
            features: (N, d) rows of the bag; a scan-level head takes one row.

        Raises:
            DimensionMismatch: Rows of another length, none, or several for a scan-level head.
        """
        if features.ndim != 2 or features.shape[1] != self.dim or len(features) == 0:
            raise DimensionMismatch(f"This head reads (N, {self.dim}) rows, N at least 1, not {features.shape}.")
        if self.level is EncoderLevel.SCAN and len(features) != 1:
            raise DimensionMismatch(f"This head reads one row a scan, not {len(features)}.")
        rows = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32).copy())
        lengths = torch.tensor([len(rows)])
        with torch.inference_mode():
            answers = [head(rows, lengths) for head in self._heads]
        logits = torch.stack([answer[0][0] for answer in answers]).double()  # (folds, outputs)
        attention_logits = torch.stack([answer[1] for answer in answers]).double()  # (folds, N)
        attention = torch.softmax(attention_logits, dim=1).mean(dim=0)
        return HeadPrediction(
            outputs=_outputs(self.task, logits),
            attention=(attention / attention.sum()).numpy(),
            attention_logits=attention_logits.mean(dim=0).numpy(),
        )

    def to_bytes(self) -> bytes:
        """Returns the ensemble as safetensors: `fold<i>.<name>` tensors, and the specification as JSON metadata."""
        tensors = {
            f"fold{index}.{name}": tensor.contiguous()
            for index, head in enumerate(self._heads)
            for name, tensor in head.state_dict().items()
        }
        metadata = {
            "format": FORMAT,
            "task": self.task.as_dict(),
            "dim": self.dim,
            "level": self.level.value,
            "folds": self.n_folds,
        }
        return save(tensors, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "HeadEnsemble":
        """Reads what `to_bytes` wrote.

        Raises:
            BadHeadFile: Not a head, or of another format version.
        """
        try:
            metadata = json.loads(_metadata(data)[METADATA_KEY])
            if metadata["format"] != FORMAT:
                raise BadHeadFile(f"The head has format {metadata['format']}; this version reads {FORMAT}.")
            tensors = load(data)
            folds: list[dict[str, Tensor]] = [{} for _ in range(int(metadata["folds"]))]
            for key, tensor in tensors.items():
                fold, name = key.removeprefix("fold").split(".", 1)
                folds[int(fold)][name] = tensor
            return cls(
                TaskSpec.parse(metadata["task"]),
                dim=int(metadata["dim"]),
                level=EncoderLevel(metadata["level"]),
                folds=folds,
            )
        except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, IndexError, BadTask) as error:
            raise BadHeadFile(f"The bytes are not a head: {error}") from error


def _metadata(data: bytes) -> dict[str, str]:
    """Returns the metadata of safetensors bytes: 8 bytes of header length, little-endian, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def _outputs(task: TaskSpec, logits: Tensor) -> tuple[Output, ...]:
    """Combines (folds, outputs) float64 logits."""
    count = torch.tensor(float(len(logits)), dtype=logits.dtype).log()
    if task.kind is TaskKind.MULTICLASS:
        log_probability = torch.log_softmax(logits, dim=1)
        logit = torch.logsumexp(log_probability, dim=0) - count
    else:
        # In logarithms, so that a fold that is certain does not end in an infinite logit.
        log_probability = torch.nn.functional.logsigmoid(logits)
        logit = torch.logsumexp(log_probability, dim=0) - torch.logsumexp(
            torch.nn.functional.logsigmoid(-logits), dim=0
        )
    probabilities = log_probability.exp()
    mean = probabilities.mean(dim=0)
    spread = probabilities.std(dim=0, correction=0)
    return tuple(
        Output(label, float(mean[index]), float(logit[index]), float(spread[index]))
        for index, label in enumerate(task.labels)
    )
