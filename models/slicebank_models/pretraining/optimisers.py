"""AdamW and LARS over the trained parameters, weights apart from what must not decay."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from slicebank_models.pretraining.schedules import peak_learning_rate
from slicebank_models.pretraining.spec import Optimiser, OptimiserSettings

# Matrices by shape, but no weights: positions, tokens, and VMamba's rates and biases of steps.
UNDECAYED = frozenset(
    {"pos_embed", "cls_token", "reg_token", "dist_token", "relative_position_bias_table", "A_logs", "dt_projs_bias"}
)
LARS_MOMENTUM = 0.9
LARS_TRUST = 0.001


class LARS(Optimizer):
    """Layer-wise adaptive rates (You et al., arXiv:1708.03888), as MoCo v3 has it.

    The update of a matrix, decay included, is brought to the length trust * |weights|, then goes through momentum; vectors
    take plain momentum, without decay.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        weight_decay: float = 0.0,
        momentum: float = LARS_MOMENTUM,
        trust: float = LARS_TRUST,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves the parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        update = gradient
        if parameter.ndim > 1:
            update = gradient.add(parameter, alpha=group["weight_decay"])
            length, wanted = torch.linalg.vector_norm(update), torch.linalg.vector_norm(parameter) * group["trust"]
            # Without a length on either side there is nothing to scale by.
            update = update * torch.where((length > 0) & (wanted > 0), wanted / length, 1.0)
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        moved = state["momentum_buffer"].mul_(group["momentum"]).add_(update)
        parameter.add_(moved, alpha=-group["lr"])


def build_optimiser(model: nn.Module, settings: OptimiserSettings) -> Optimizer:
    """Returns the optimiser of the parameters that take gradients, at the rate after warm-up; `set_learning_rate` moves it."""
    groups = [
        {"params": [p for name, p in trained if _decays(name, p) is decays], "weight_decay": decay}
        for trained in [[(name, p) for name, p in model.named_parameters() if p.requires_grad]]
        for decays, decay in ((True, settings.weight_decay), (False, 0.0))
    ]
    filled = [group for group in groups if group["params"]]
    rate = peak_learning_rate(settings)
    if settings.name is Optimiser.LARS:
        return LARS(filled, rate)
    return torch.optim.AdamW(filled, rate)


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Sets the rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def _decays(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and name.rpartition(".")[2] not in UNDECAYED
