"""What every head must hold to, whatever is inside it."""

import math
import resource

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.cards import EncoderLevel
from slicebank_models.errors import BadTrainingValue
from slicebank_models.heads.build import build_head
from slicebank_models.heads.ensemble import HeadEnsemble
from slicebank_models.heads.head import Head
from slicebank_models.heads.head_spec import Architecture, HeadSpec
from slicebank_models.heads.spec import TaskKind, TaskSpec
from slicebank_models.training.losses import loss_of, targets_tensor

DIM = 6
SLICES, SCANS = EncoderLevel.SLICE, EncoderLevel.SCAN
OF_SLICES = [a for a in Architecture if a not in (Architecture.LINEAR, Architecture.MLP)]
OF_SCANS = [Architecture.ABMIL, Architecture.LINEAR, Architecture.MLP]
PER_OUTPUT = (Architecture.MULTIBRANCH_ABMIL, Architecture.CLAM_MB)
TASKS = {
    TaskKind.BINARY: (TaskSpec(TaskKind.BINARY, ("lesion",)), [(1,), (0,), (None,)]),
    TaskKind.MULTILABEL: (TaskSpec(TaskKind.MULTILABEL, ("lesion", "effusion")), [(1, None), (0, 1), (None, 0)]),
    TaskKind.MULTICLASS: (TaskSpec(TaskKind.MULTICLASS, ("I", "II", "III")), [(2,), (0,), (None,)]),
    TaskKind.REGRESSION: (TaskSpec(TaskKind.REGRESSION, ("age", "volume")), [(61.0, 1.5), (40.0, None), (55.0, 3.0)]),
    TaskKind.SURVIVAL: (TaskSpec(TaskKind.SURVIVAL, ("days", "death")), [(30.0, 1.0), (90.0, 0.0), (45.0, 1.0)]),
}
MULTILABEL = TASKS[TaskKind.MULTILABEL][0]


def new_head(architecture: Architecture, kind: TaskKind = TaskKind.MULTILABEL, seed: int = 0) -> Head:
    torch.manual_seed(seed)
    level = SCANS if architecture in (Architecture.LINEAR, Architecture.MLP) else SLICES
    return build_head(HeadSpec(architecture, width=16, instances=3), level, DIM, TASKS[kind][0])


def bags(lengths: list[int], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(sum(lengths), DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("architecture", OF_SLICES)
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(1, 40), min_size=2, max_size=5), seed=st.integers(0, 2**31))
def test_an_answer_does_not_depend_on_the_other_bags(
    architecture: Architecture, dtype: torch.dtype, lengths: list[int], seed: int
) -> None:
    head = new_head(architecture).to(dtype).eval()
    rows = bags(lengths, seed, dtype)
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    with torch.inference_mode():
        together = head(rows, torch.tensor(lengths))
        assert together.logits.shape == (len(lengths), 2)
        per_output = architecture in PER_OUTPUT
        assert together.attention_logits.shape == ((sum(lengths), 2) if per_output else (sum(lengths),))
        attention = together.attention_logits.split(lengths)
        for at, bag in enumerate(rows.split(lengths)):
            alone = head(bag, torch.tensor([len(bag)]))
            torch.testing.assert_close(alone.logits[0], together.logits[at], **tolerance)
            torch.testing.assert_close(alone.attention_logits, attention[at], **tolerance)


@pytest.mark.parametrize("architecture", OF_SLICES)
def test_an_answer_does_not_depend_on_what_padding_would_add(architecture: Architecture) -> None:
    head = new_head(architecture).double().eval()
    bag = bags([5], 1)
    zeros, huge = torch.zeros(512, DIM, dtype=torch.float64), torch.full((512, DIM), 1e6, dtype=torch.float64)
    with torch.inference_mode():
        alone = head(bag, torch.tensor([5])).logits[0]
        for other in (zeros, huge):
            beside = head(torch.cat([bag, other]), torch.tensor([5, 512])).logits[0]
            torch.testing.assert_close(beside, alone, rtol=1e-12, atol=1e-12)
        padded = head(torch.cat([bag, zeros]), torch.tensor([517])).logits[0]
    # The same zero rows inside the bag would have changed it, but for a maximum.
    assert architecture is Architecture.MAX or not torch.allclose(padded, alone, rtol=1e-6)


@pytest.mark.parametrize("architecture", [a for a in OF_SLICES if a is not Architecture.TRANSMIL])
@settings(deadline=None, max_examples=15)
@given(n_rows=st.integers(2, 60), seed=st.integers(0, 2**31))
def test_an_answer_does_not_depend_on_the_order_of_rows(architecture: Architecture, n_rows: int, seed: int) -> None:
    head = new_head(architecture).double().eval()
    rows = bags([n_rows], seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n_rows))
    with torch.inference_mode():
        found, shuffled = head(rows, torch.tensor([n_rows])), head(rows[order], torch.tensor([n_rows]))
    torch.testing.assert_close(shuffled.logits, found.logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(shuffled.attention_logits, found.attention_logits[order], rtol=1e-12, atol=1e-12)


def test_transmil_reads_rows_as_a_sequence() -> None:
    head = new_head(Architecture.TRANSMIL).double().eval()
    rows = bags([30], 0)
    with torch.inference_mode():
        found, reversed_ = head(rows, torch.tensor([30])), head(rows.flip(0), torch.tensor([30]))
    assert not torch.allclose(found.logits, reversed_.logits, rtol=1e-4)


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("architecture", OF_SLICES)
def test_every_weight_learns_and_attention_is_of_this_bag(architecture: Architecture, kind: TaskKind) -> None:
    task, targets = TASKS[kind]
    if architecture.startswith("clam") and kind in (TaskKind.REGRESSION, TaskKind.SURVIVAL):
        with pytest.raises(BadTrainingValue, match="clusters rows by the class"):
            new_head(architecture, kind)
        return
    head = new_head(architecture, kind).train()
    given_targets = targets_tensor(targets)
    output = head(bags([9, 1, 4], 0, torch.float32), torch.tensor([9, 1, 4]), given_targets)
    assert (output.loss is not None) is architecture.startswith("clam")
    loss = loss_of(task, output.logits, given_targets)
    torch.autograd.backward([loss if output.loss is None else loss + output.loss])
    without = [name for name, weight in head.named_parameters() if weight.grad is None]
    assert not without
    assert all(bool(weight.grad.isfinite().all()) for weight in head.parameters() if weight.grad is not None)
    ensemble = HeadEnsemble(
        task,
        dim=DIM,
        level=SLICES,
        folds=[head.state_dict(), new_head(architecture, kind, 1).state_dict()],
        head=HeadSpec(architecture, width=16, instances=3),
    )
    again = HeadEnsemble.from_bytes(ensemble.to_bytes())
    assert again.head == ensemble.head
    for n_rows in (1, 2, 7):
        features = bags([n_rows], n_rows, torch.float32).numpy()
        answer = again.predict(features)
        assert answer.outputs == ensemble.predict(features).outputs
        assert [output.label for output in answer.outputs] == list(task.outputs)
        assert math.fsum(answer.attention) == pytest.approx(1, abs=1e-12)
        assert answer.attention_logits.shape == answer.attention.shape == (n_rows,)
        if architecture in PER_OUTPUT:
            assert answer.output_attention is not None
            assert answer.output_attention_logits is not None
            assert answer.output_attention.shape == answer.output_attention_logits.shape == (task.n_outputs, n_rows)
            np.testing.assert_allclose(answer.output_attention.sum(axis=1), 1, atol=1e-12)
            np.testing.assert_allclose(answer.output_attention.mean(axis=0), answer.attention, atol=1e-12)
        else:
            assert answer.output_attention is None


@pytest.mark.parametrize(
    ("architecture", "n_rows"),
    [
        *((a, 20_000) for a in OF_SLICES if a is not Architecture.TRANSMIL),
        (Architecture.TRANSMIL, 4_000),
        pytest.param(Architecture.TRANSMIL, 20_000, marks=pytest.mark.slow),
    ],
)
def test_long_bags_fit(architecture: Architecture, n_rows: int) -> None:
    task = TASKS[TaskKind.MULTILABEL][0]
    torch.manual_seed(0)
    spec = HeadSpec(architecture, width=32)
    folds = [build_head(spec, SLICES, DIM, task).state_dict()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = HeadEnsemble(task, dim=DIM, level=SLICES, folds=folds, head=spec).predict(
        bags([n_rows], 0, torch.float32).numpy()
    )
    # The attention of all rows to all rows would be 12.8 GB (0.5 GB of 4,000 rows) with 8 heads; ru_maxrss is in kB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    assert math.fsum(answer.attention) == pytest.approx(1)


@pytest.mark.parametrize("architecture", OF_SCANS)
def test_scans_of_one_row_take_a_head_without_attention(architecture: Architecture) -> None:
    torch.manual_seed(0)
    head = build_head(HeadSpec(architecture), SCANS, DIM, MULTILABEL).eval()
    output = head(bags([1, 1, 1], 0, torch.float32), torch.ones(3, dtype=torch.int64))
    assert output.logits.shape == (3, 2)
    assert output.attention_logits.tolist() == [0.0] * 3
    weights = [name for name, _ in head.named_parameters()]
    assert (len(weights) == 2) is (architecture is Architecture.LINEAR)


def test_heads_that_do_not_fit_the_rows_are_refused() -> None:
    for architecture in set(Architecture) - set(OF_SCANS):
        with pytest.raises(BadTrainingValue, match="use mlp or linear"):
            build_head(HeadSpec(architecture), SCANS, DIM, MULTILABEL)
    for architecture in (Architecture.LINEAR, Architecture.MLP):
        with pytest.raises(BadTrainingValue, match="use abmil, gated_abmil"):
            build_head(HeadSpec(architecture), SLICES, DIM, MULTILABEL)
