"""One step's loss and gradients, in parts where the memory asks for it, with all keys of the batch as negatives all the same."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slicebank_models.errors import BadPretrainingSetting
from slicebank_models.pretraining.contrastive import ContrastiveModel
from slicebank_models.pretraining.gathering import gather_rows
from slicebank_models.pretraining.losses import cosine_similarities, loss_of_similarities, positive_accuracy
from slicebank_models.pretraining.spec import LossSettings


@dataclass(frozen=True, slots=True, eq=False)
class StepOutcome:
    """What a step was like, of this process's share of n slices; on the device, without gradient.

    Attributes:
        loss: Of both views together, scalar; its mean over the processes is the loss of the batch.
        accuracy: Share of the queries whose own key is the most similar of all keys of the batch, scalar.
        queries: (n, d) of view 1.
        keys: (n, d) of view 2: the queries' own.
        features: (n, dim) of view 1, from the encoder.
    """

    loss: Tensor
    accuracy: Tensor
    queries: Tensor
    keys: Tensor
    features: Tensor


def contrastive_step(
    model: nn.Module,
    view1: Tensor,
    view2: Tensor,
    lesion_mask: Tensor,
    *,
    loss: LossSettings,
    parts: int = 1,
    autocast: torch.dtype | None = None,
) -> StepOutcome:
    """Adds a step's gradients to the parameters' own; zeroing, `update_momentum` before and the optimiser after are the caller's.

    The loss is that of queries of view 1 with keys of view 2 and the other way round, added. With several parts, the keys of
    all slices are computed first and gathered over the processes; then the queries of one part after the other go against
    all of them. That is the step of one part, but for norms over the batch: their statistics are of one part (of all
    processes), for queries as for keys. Networks without such norms, projector and predictor included, give the same
    gradients up to rounding.

    Args:
        model: `ContrastiveModel`, or one in DistributedDataParallel, which averages the gradients over the processes.
        view1: (n, S, S) grey levels of this process's share, from 0 to 255.
        view2: The same slices' other view.
        lesion_mask: (n) bool: which slices have a lesion.
        loss: Which loss, and its weight; the lesion mask is not looked at where the weight is 0 or the method is MoCo v3.
        parts: How many to compute the share in.
        autocast: What the networks compute in where they can, such as bfloat16; None for what the weights are.

    Raises:
        BadPretrainingSetting: A part would have fewer than two slices, which norms over the batch need.
    """
    if parts > 1 and len(view1) < 2 * parts:
        raise BadPretrainingSetting(
            f"optimiser.accumulate: {len(view1)} slices a process in {parts} parts leave fewer than two slices a part."
        )
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(inner, ContrastiveModel):
        raise TypeError(f"{type(inner).__name__} is no ContrastiveModel.")
    pairs = list(zip(view1.tensor_split(parts), view2.tensor_split(parts), strict=True))
    with torch.autocast(view1.device.type, dtype=autocast, enabled=autocast is not None):
        keys = [inner.keys(first, second) for first, second in pairs]
    keys1, keys2 = (_at_least_float32(torch.cat(rows)) for rows in zip(*keys, strict=True))
    all_keys1, own = gather_rows(keys1)
    all_keys2, _ = gather_rows(keys2)
    weighs_lesions = loss.lesion_weight > 0.0 and loss.method == "lecl"
    lesion_keys = gather_rows(lesion_mask)[0] if weighs_lesions else None

    losses, accuracies, queries, features = [], [], [], []
    done = 0
    for at, (first, second) in enumerate(pairs):
        with _without_averaging(model, parts > at + 1):
            with torch.autocast(view1.device.type, dtype=autocast, enabled=autocast is not None):
                queries1, queries2, seen = model(first, second)
            share = len(first) / len(view1)
            total, hits = torch.zeros((), device=view1.device), torch.zeros((), device=view1.device)
            for rows, against in ((queries1, all_keys2), (queries2, all_keys1)):
                similarities = cosine_similarities(rows, against)
                one_way = loss_of_similarities(
                    similarities,
                    first=own + done,
                    temperature=loss.temperature,
                    lesion_keys=lesion_keys,
                    lesion_weight=loss.lesion_weight,
                    lesion_loss=loss.lesion_loss,
                )
                total = total + one_way * share
                hits = hits + positive_accuracy(similarities.detach(), first=own + done) * (share / 2.0)
            total.backward()  # type: ignore[no-untyped-call]
        losses.append(total.detach())
        accuracies.append(hits)
        queries.append(_at_least_float32(queries1.detach()))
        features.append(_at_least_float32(seen))
        done += len(first)
    return StepOutcome(
        torch.stack(losses).sum(), torch.stack(accuracies).sum(), torch.cat(queries), keys2, torch.cat(features)
    )


def _at_least_float32(rows: Tensor) -> Tensor:
    return rows if rows.dtype == torch.float64 else rows.float()


def _without_averaging(model: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """All parts' gradients are averaged over the processes at once, with the last part's."""
    if wanted and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()
