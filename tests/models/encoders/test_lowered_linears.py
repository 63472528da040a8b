import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slicebank_models.encoders.lowered_linears import called_modules, linear_layers, lower_layer


class Network(nn.Module):
    """A layer that is called, one whose weight is only read, a gate too small to matter, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 64)
        self.block = nn.Linear(64, 64)
        self.read = nn.Linear(64, 64)
        self.gate = nn.Linear(64, 4)
        self.head = nn.Linear(64, 64)

    def forward(self, rows: Tensor) -> Tensor:
        rows = self.block(self.stem(rows))
        rows = F.linear(rows, self.read.weight, self.read.bias)
        gated: Tensor = self.head(rows) * self.gate(rows).mean()
        return gated


def test_only_layers_that_are_called_and_large_and_inside_are_lowered() -> None:
    network = Network()
    called = called_modules(network, lambda: network(torch.zeros(1, 64)))
    assert called == {"", "stem", "block", "gate", "head"}
    assert list(linear_layers(network, called)) == [network.block]
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_lowered_layer_takes_and_gives_float32_and_rounds_between() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 64)
    rows = torch.randn(3, 64)
    exact = layer(rows)
    rounded = F.linear(rows.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16()).float()
    lower_layer(layer, torch.bfloat16)
    found = layer(rows)
    assert found.dtype == torch.float32
    assert torch.equal(found, rounded)
    assert not torch.equal(found, exact)
