"""What training lowers: cross-entropies with class weights, squared errors, Cox's partial likelihood; unknown answers count nothing."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.heads.targets import Target


def targets_tensor(targets: Sequence[Target], device: torch.device | str = "cpu") -> Tensor:
    """Returns (B, n) float64 targets, NaN where not known."""
    return torch.tensor(
        [[math.nan if value is None else float(value) for value in target] for target in targets],
        dtype=torch.float64,
        device=device,
    )


def n_answers(task: TaskSpec, targets: Tensor | Sequence[Target]) -> int:
    """Returns how many answers the loss sums over: known ones; for survival, events."""
    given = targets if isinstance(targets, Tensor) else targets_tensor(targets)
    if task.kind is TaskKind.SURVIVAL:
        return int((given[:, 1] == 1).sum())
    return int((~given.isnan()).sum())


def is_judged(task: TaskSpec, targets: Tensor) -> bool:
    """Whether the loss of these targets tells anything: a known answer; for survival, an event with somebody else at risk."""
    if task.kind is not TaskKind.SURVIVAL:
        return n_answers(task, targets) > 0
    time, event = targets[:, 0], targets[:, 1] == 1
    return bool((event & ((time.unsqueeze(0) >= time.unsqueeze(1)).sum(dim=1) > 1)).any())


def answer_weights(task: TaskSpec, targets: Sequence[Target], *, balanced: bool) -> Tensor | None:
    """Returns the weights that `loss_of` takes, from the answers of the training cases.

    Args:
        task: With its outputs' final names.
        targets: Of the training cases alone: the measured ones must not decide anything.
        balanced: Whether every answer of a label shall have the same total weight: n / (k n_a) for an answer a that n_a of
            n cases have, among k that occur. The average weight of a case is 1, so that the learning rate keeps its
            meaning; an answer that does not occur has weight 1.

    Returns:
        Binary and multilabel: (n_outputs, 2), of 0 and of 1; multiclass: (n_classes,); both only if `balanced`.
        Regression: (n_outputs,) 1 / variance, always, so that labels of different units count alike. Otherwise None.
    """
    given = targets_tensor(targets)
    if task.kind is TaskKind.REGRESSION:
        known = ~given.isnan()
        n = known.sum(dim=0).clamp(min=1).to(given)
        mean = given.nan_to_num(0.0).sum(dim=0) / n
        variance = torch.where(known, (given - mean) ** 2, 0.0).sum(dim=0) / n
        return torch.where(variance > 0, 1 / variance, 1.0)
    if not balanced or task.kind is TaskKind.SURVIVAL:
        return None
    if task.kind is TaskKind.MULTICLASS:
        return _balanced((given == torch.arange(task.n_outputs)).sum(dim=0))
    return torch.stack([_balanced(column) for column in torch.stack([(given == 0).sum(0), (given == 1).sum(0)], 1)])


def _balanced(counts: Tensor) -> Tensor:
    counts = counts.double()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 1.0)


def loss_of(
    task: TaskSpec, logits: Tensor, targets: Tensor | Sequence[Target], weights: Tensor | None = None
) -> Tensor:
    """Returns the summed loss over known answers, and nothing for unknown ones; divide by `n_answers` for the mean.

    Binary cross-entropy per label, cross-entropy over classes, squared error per label, or the negative log partial
    likelihood of Cox. The last one compares each event with every case at risk then, among those given: give all cases of
    a validation part at once.

    Args:
        task: With its outputs' final names.
        logits: (B, n_outputs).
        targets: (B, n) as `targets_tensor` gives them, or as they come.
        weights: See `answer_weights`; None for all alike, as in the paper.
    """
    given = (targets if isinstance(targets, Tensor) else targets_tensor(targets)).to(logits)
    known = ~given.isnan()
    given = given.nan_to_num(0.0)
    weights = weights.to(logits) if weights is not None else None
    if task.kind is TaskKind.SURVIVAL:
        both = known.all(dim=1)
        return cox_loss(logits[both, 0], given[both, 0], given[both, 1])
    if task.kind is TaskKind.MULTICLASS:
        each = F.cross_entropy(logits, given[:, 0].long(), weight=weights, reduction="none")
        return torch.where(known[:, 0], each, 0.0).sum()
    if task.kind is TaskKind.REGRESSION:
        each = (logits - given) ** 2 * (weights if weights is not None else 1.0)
    else:
        each = F.binary_cross_entropy_with_logits(logits, given, reduction="none")
        if weights is not None:
            each = each * torch.where(given == 1, weights[:, 1], weights[:, 0])
    return torch.where(known, each, 0.0).sum()


def cox_loss(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Returns the negative log partial likelihood of Cox (1972), summed over events, ties after Efron (1977).

    For the d events of one time, with R the sum of exp(risk) over all cases whose time is not shorter and D that over the
    events themselves: sum of risks - sum over l = 0 .. d - 1 of log(R - l/d D).

    Args:
        risk: (n,) log hazard ratios.
        time: (n,) to the event or to censoring.
        event: (n,) 1 for an event, 0 for censoring. A case that is censored at the time of an event was at risk.

    Returns:
        A scalar; 0, with a gradient of 0, where there is no event.
    """
    order = torch.argsort(time, stable=True)
    risk, time, event = risk[order], time[order], event[order] > 0
    if not bool(event.any()):
        return (risk * 0).sum()
    times, place = torch.unique_consecutive(time, return_inverse=True)
    # The risk set of a time starts at its first case: cumulate from the end, where the longest times are.
    from_here = torch.logcumsumexp(risk.flip(0), dim=0).flip(0)
    first = torch.searchsorted(place, torch.arange(len(times), device=place.device))
    at_risk = from_here[first][place[event]]
    deaths, group = risk[event], place[event]
    d = torch.bincount(group, minlength=len(times))[group]
    starts = torch.searchsorted(group, group)  # of the events of the same time, in the order of events
    share = (torch.arange(len(group), device=group.device) - starts).to(risk) / d
    # Everything below the risk set's own sum, so that no power overflows.
    dying = torch.zeros(len(times), dtype=risk.dtype, device=risk.device)
    dying = dying.index_add(0, group, torch.exp(deaths - at_risk))[group]
    return (at_risk + torch.log1p(-share * dying) - deaths).sum()
