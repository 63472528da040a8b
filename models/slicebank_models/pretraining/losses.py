"""The contrastive losses: InfoNCE as MoCo v3 has it, and LECL's, with a weight on the keys of lesion slices.

With psi(q, k) = exp(cos(q, k) / temperature), the loss of a query q with own key k+ among the keys k_1 ... k_N is

    -log( psi(q, k+) / (psi(q, k_1) + ... + psi(q, k_N) + lambda xi) ),   xi = sum of psi(q, l) over the lesion keys l

(eq. 2 of the LECL paper), averaged over the queries and multiplied by 2 temperature (MoCo v3, algorithm 1). xi runs over
all lesion keys of the batch, as printed: where the query's own slice has a lesion, its own key is among them. lambda = 0 is
InfoNCE.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.pretraining.spec import LesionLoss


def contrastive_loss(
    queries: Tensor,
    keys: Tensor,
    *,
    first: int,
    temperature: float,
    lesion_keys: Tensor | None = None,
    lesion_weight: float = 0.0,
    lesion_loss: LesionLoss = LesionLoss.PRINTED,
) -> Tensor:
    """The loss of some queries against all keys of the global batch.

    Args:
        queries: (n, d), of any length; only their directions count.
        keys: (N, d), of all processes.
        first: Row of the first query's own key; those of the others follow it.
        temperature: Of the softmax.
        lesion_keys: (N) bool, which keys are of slices with a lesion; None for none.
        lesion_weight: lambda.
        lesion_loss: What lambda multiplies.

    Returns:
        A scalar, float32 or float64.
    """
    similarities = cosine_similarities(queries, keys)
    return loss_of_similarities(
        similarities,
        first=first,
        temperature=temperature,
        lesion_keys=lesion_keys,
        lesion_weight=lesion_weight,
        lesion_loss=lesion_loss,
    )


def cosine_similarities(queries: Tensor, keys: Tensor) -> Tensor:
    """(n, d) and (N, d) to (n, N), in float32 at least, also where the networks compute in less."""
    with torch.autocast(queries.device.type, enabled=False):
        return _unit(queries) @ _unit(keys).T


def loss_of_similarities(
    similarities: Tensor,
    *,
    first: int,
    temperature: float,
    lesion_keys: Tensor | None = None,
    lesion_weight: float = 0.0,
    lesion_loss: LesionLoss = LesionLoss.PRINTED,
) -> Tensor:
    """`contrastive_loss` from the (n, N) cosines of queries and keys."""
    logits = similarities / temperature
    own = logits.diagonal(first)
    if len(own) != len(logits):
        raise ValueError(f"{len(logits)} queries from row {first} have no key each among {logits.shape[1]}.")
    if lesion_keys is None or lesion_weight == 0.0:
        denominator = torch.logsumexp(logits, dim=1)
    elif lesion_loss is LesionLoss.PRINTED:
        denominator = _denominator_as_printed(logits, lesion_keys, lesion_weight)
    else:
        denominator = _denominator_of_published_code(logits, first, lesion_keys, lesion_weight)
    return (denominator - own).mean() * (2.0 * temperature)


def positive_accuracy(similarities: Tensor, *, first: int) -> Tensor:
    """Share of the queries whose own key is the most similar of all, a scalar float32."""
    own = torch.arange(first, first + len(similarities), device=similarities.device)
    return (similarities.argmax(dim=1) == own).float().mean()


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows if rows.dtype == torch.float64 else rows.float(), dim=1)


def _denominator_as_printed(logits: Tensor, lesion_keys: Tensor, weight: float) -> Tensor:
    """Logarithm of eq. 2's denominator: a lesion key counts 1 + lambda times."""
    counts = lesion_keys.to(logits.dtype) * math.log1p(weight)
    return torch.logsumexp(logits + counts, dim=1)


def _denominator_of_published_code(logits: Tensor, first: int, lesion_keys: Tensor, weight: float) -> Tensor:
    """Logarithm of the denominator as in `contrastive_loss_lesion` of github.com/KatherLab/CLEAR (src/LECL/moco/builder.py).

    There the weight multiplies the logits of the lesion keys, not their exponentials, and a query's own key gets no second
    term. That code takes plain InfoNCE where the weight is 0, as does `loss_of_similarities`.
    """
    others = lesion_keys.expand_as(logits).clone()
    others.diagonal(first).fill_(False)
    again = torch.where(others, weight * logits, -math.inf)
    return torch.logsumexp(torch.cat([logits, again], dim=1), dim=1)
