import pytest
import torch

from slicebank_models.cards import EncoderLevel
from slicebank_models.heads.build import build_head
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.losses import loss_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

TASK = TaskSpec(TaskKind.MULTILABEL, ("x", "y"))


@pytest.mark.parametrize("architecture", [a for a in Architecture if a not in (Architecture.LINEAR, Architecture.MLP)])
def test_a_head_answers_and_learns_on_a_gpu_as_on_a_cpu(architecture: Architecture) -> None:
    torch.manual_seed(0)
    head = build_head(HeadSpec(architecture, width=32, dropout=0), EncoderLevel.SLICE, 8, TASK).train()
    rows, lengths = torch.randn(700, 8), torch.tensor([600, 1, 99])
    targets = torch.tensor([[1.0, 0.0], [0.0, torch.nan], [1.0, 1.0]], dtype=torch.float64)
    found = []
    for device in ("cpu", "cuda"):
        head = head.to(device)
        output = head(rows.to(device), lengths.to(device), targets.to(device))
        loss = loss_of(TASK, output.logits, targets.to(device))
        gradients = torch.autograd.grad(
            loss + output.loss if output.loss is not None else loss, list(head.parameters())
        )
        found.append([output.logits, output.attention_logits, *gradients])
    for on_cpu, on_gpu in zip(*found, strict=True):
        torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-3)
