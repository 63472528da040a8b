"""The served head: the folds of a cross-validation, answering together; kept as safetensors, never as a pickle."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import BadHeadFile, DimensionMismatch, HeadError
from slicebank_models.heads.answers import HeadPrediction, Output, answers
from slicebank_models.heads.build import build_head
from slicebank_models.heads.calibration import calibrated_logits
from slicebank_models.heads.head import Head
from slicebank_models.heads.head_spec import HeadSpec
from slicebank_models.heads.spec import TaskSpec

JSON = dict[str, Any]

# 1: the published head of binary, multilabel and multiclass tasks, without a calibration; still read.
FORMAT = 2
METADATA_KEY = "slicebank_head"

__all__ = ["HeadEnsemble", "HeadPrediction", "Output"]


class HeadEnsemble:
    """Heads of one task, one a fold.

    Args:
        task: With its outputs' names.
        dim: Length of the rows.
        level: What a row describes.
        folds: State of each fold's head.
        head: Architecture and sizes.
        calibration: See `heads.calibration.calibrated_logits`; None where probabilities are as learned.
        recipe_digest: Of the bags that it learned from and reads; empty where not known.
    """

    def __init__(
        self,
        task: TaskSpec,
        *,
        dim: int,
        level: EncoderLevel,
        folds: Sequence[Mapping[str, Tensor]],
        head: HeadSpec | None = None,
        calibration: Mapping[str, Any] | None = None,
        recipe_digest: str = "",
    ) -> None:
        if not folds:
            raise HeadError("An ensemble needs at least one fold.")
        if not task.n_outputs:
            raise HeadError("The task has no outputs.")
        self.task = task
        self.dim = dim
        self.level = level
        self.head = head or HeadSpec()
        self.calibration = dict(calibration) if calibration is not None else None
        self.recipe_digest = recipe_digest
        if self.calibration is not None:
            calibrated_logits(task, self.calibration, np.zeros((1, task.n_outputs)))
        self._heads = [self._loaded(state) for state in folds]

    @property
    def n_folds(self) -> int:
        """Number of heads that answer together."""
        return len(self._heads)

    def with_calibration(self, calibration: Mapping[str, Any] | None, *, recipe_digest: str = "") -> "HeadEnsemble":
        """Returns the same heads with a calibration, and the digest of the recipe they read."""
        return HeadEnsemble(
            self.task,
            dim=self.dim,
            level=self.level,
            folds=[head.state_dict() for head in self._heads],
            head=self.head,
            calibration=calibration,
            recipe_digest=recipe_digest or self.recipe_digest,
        )

    def _loaded(self, state: Mapping[str, Tensor]) -> Head:
        with torch.random.fork_rng(devices=[]):
            head = build_head(self.head, self.level, self.dim, self.task)
        head.load_state_dict(dict(state))
        return head.eval().requires_grad_(False)

    def predict(self, features: NDArray[np.float32]) -> HeadPrediction:
        """Answers for one bag.

        Args:
            features: (N, d) rows of the bag; a scan-level head takes one row.

        Raises:
            DimensionMismatch: Rows of another length, none, or several for a scan-level head.
        """
        rows, lengths = self._checked(features)
        with torch.inference_mode():
            outputs = [head(rows, lengths) for head in self._heads]
        logits = torch.cat([output.logits for output in outputs]).double()  # (folds, outputs)
        attention_logits = torch.stack(
            [output.attention_logits for output in outputs]
        ).double()  # (folds, N[, outputs])
        weights = torch.softmax(attention_logits, dim=1).mean(dim=0)
        attention: NDArray[np.float64] = (weights / weights.sum(dim=0)).numpy()
        mean_logits: NDArray[np.float64] = attention_logits.mean(dim=0).numpy()
        found = answers(self.task, logits.numpy(), self.calibration)
        if attention.ndim == 1:
            return HeadPrediction(found, attention, mean_logits)
        return HeadPrediction(
            found, attention.mean(axis=1), mean_logits.mean(axis=1), attention.T.copy(), mean_logits.T.copy()
        )

    def _checked(self, features: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        if features.ndim != 2 or features.shape[1] != self.dim or len(features) == 0:
            raise DimensionMismatch(f"This head reads (N, {self.dim}) rows, N at least 1, not {features.shape}.")
        if self.level is EncoderLevel.SCAN and len(features) != 1:
            raise DimensionMismatch(f"This head reads one row a scan, not {len(features)}.")
        rows = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32).copy())
        return rows, torch.tensor([len(rows)])

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
            "head": self.head.as_dict(),
            "calibration": self.calibration,
            "recipe_digest": self.recipe_digest,
            "dim": self.dim,
            "level": self.level.value,
            "folds": self.n_folds,
        }
        return save(tensors, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "HeadEnsemble":
        """Reads what `to_bytes` wrote, here or in an earlier version.

        Raises:
            BadHeadFile: Not a head, or of a later format version.
        """
        try:
            metadata = json.loads(_metadata(data)[METADATA_KEY])
            found = metadata["format"]
            if found in (1, FORMAT):
                return cls._from_parts(metadata, load(data))
        except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, IndexError, HeadError) as error:
            raise BadHeadFile(f"The bytes are not a head: {error}") from error
        raise BadHeadFile(f"The head has format {str(found)[:20]}; this version reads 1 and {FORMAT}.")

    @classmethod
    def _from_parts(cls, metadata: JSON, tensors: Mapping[str, Tensor]) -> "HeadEnsemble":
        folds: list[dict[str, Tensor]] = [{} for _ in range(int(metadata["folds"]))]
        for key, tensor in tensors.items():
            fold, name = key.removeprefix("fold").split(".", 1)
            folds[int(fold)][name] = tensor
        return cls(
            TaskSpec.parse(metadata["task"]),
            dim=int(metadata["dim"]),
            level=EncoderLevel(metadata["level"]),
            folds=folds,
            head=HeadSpec.parse(metadata.get("head")),
            calibration=metadata.get("calibration"),
            recipe_digest=str(metadata.get("recipe_digest", "")),
        )


def _metadata(data: bytes) -> dict[str, str]:
    """Returns the metadata of safetensors bytes: 8 bytes of header length, little-endian, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata
