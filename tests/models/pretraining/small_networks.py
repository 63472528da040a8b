"""Networks small enough for float64 on a busy core, with and without norms over the batch, and views for them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slicebank_models.encoders.slice_encoder import SliceEncoder
from slicebank_models.pretraining.contrastive import ContrastiveModel

SIDE, DIM, QUERY = 4, 6, 5


class SmallEncoder(SliceEncoder):
    """One linear layer and a tanh over (B, 4, 4) rows, after a batch norm over rows where it is wanted."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__(dim=DIM, input_size=SIDE)
        self.trunk = nn.Sequential(
            nn.BatchNorm2d(1) if norm else nn.Identity(), nn.Flatten(), nn.Linear(SIDE * SIDE, DIM), nn.Tanh()
        )

    def forward(self, rows: Tensor) -> Tensor:
        features: Tensor = self.trunk(rows.unsqueeze(1) / 255.0)
        return features


def small_model(*, norm: bool) -> ContrastiveModel:
    """Float64, the same weights every time; the momentum networks a little away from the others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        norms: Callable[[int], nn.Module] = nn.BatchNorm1d if norm else nn.Identity
        projector = nn.Sequential(nn.Linear(DIM, 8), norms(8), nn.ReLU(), nn.Linear(8, QUERY))
        predictor = nn.Sequential(nn.Linear(QUERY, QUERY), norms(QUERY))
        model = ContrastiveModel(SmallEncoder(norm=norm), projector, predictor).double().train()
        for parameter in (*model.momentum_encoder.parameters(), *model.momentum_projector.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def small_views(slices: int) -> tuple[Tensor, Tensor]:
    """Two views of (slices, 4, 4) grey levels from 0 to 255, float64."""
    generator = torch.Generator().manual_seed(2)
    views = 255.0 * torch.rand(2, slices, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return views[0], views[1]


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Of the parameters that have one, by name."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
