"""The same weights, the same rows, the answers of another library.

`torchmil_answers.json` was made with torchmil 1.0.2 (Apache-2.0) and torch 2.15 in float64: weights drawn and rounded to three
decimals; ABMIL, gated ABMIL and CLAM-SB of width 8 with a Linear and ReLU before them; TransMIL of width 16 with as many
landmarks as tokens, 60 steps to the pseudo-inverse and keys equal to queries (so that the inverse is well conditioned), where
its Nystrom attention is exact, on bags that are squares, where nothing fills up. Its CLAM instance loss is left out: in that version it subtracts every row's answer from every other row's scores.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slicebank_models.heads.abmil import AttentionHead
from slicebank_models.heads.clam import ClamHead
from slicebank_models.heads.head import Head
from slicebank_models.heads.spec import TaskKind
from slicebank_models.heads.transmil import TransMilHead

DIM, WIDTH = 5, 8
GIVEN: dict[str, Any] = json.loads((Path(__file__).parent / "torchmil_answers.json").read_text())
POOLING = {"feat_ext.0": "encoder.0", "pool.fc1.module": "attention.0", "pool.fc2": "attention.2"}
GATED = {
    "feat_ext.0": "encoder.0",
    "pool.fc1.module": "attention.content.0",
    "pool.fc_gated.module": "attention.gate.0",
    "pool.fc2": "attention.score",
    "classifier.module": "classifier",
}
TRANSFORMER = {
    "feat_ext.0": "encoder.0",
    "pos_layer.proj": "position.convolutions.0",
    "pos_layer.proj1": "position.convolutions.1",
    "pos_layer.proj2": "position.convolutions.2",
    "layers.0.att_module.qkv_nn": "before.qkv",
    "layers.0.norm1": "before.norm",
    "layers.1.att_module.qkv_nn": "after.qkv",
    "layers.1.norm1": "after.norm",
    "norm": "norm",
    "classifier": "classifier",
}


def load(head: Head, state: Mapping[str, Any], names: Mapping[str, str]) -> Head:
    """Fills in the weights under our names; what that library lacks (the bias of a score, which a softmax drops) is 0."""
    head = head.double().eval()
    ours: dict[str, Tensor] = {name: torch.zeros_like(tensor) for name, tensor in head.state_dict().items()}
    for name, values in state.items():
        module, _, kind = name.rpartition(".")
        ours[f"{names[module]}.{kind}"] = torch.tensor(values, dtype=torch.float64)
    head.load_state_dict(ours)
    return head


def answer(head: Head, n_rows: str) -> tuple[Tensor, Tensor]:
    rows = torch.tensor(GIVEN["rows"][n_rows], dtype=torch.float64)
    with torch.inference_mode():
        output = head(rows, torch.tensor([len(rows)]))
    return output.logits[0, 0], output.attention_logits


@pytest.mark.parametrize("n_rows", ["1", "4", "9"])
@pytest.mark.parametrize("gated", [False, True])
def test_attention_pooling(gated: bool, n_rows: str) -> None:
    given = GIVEN["gated_abmil" if gated else "abmil"]
    head = AttentionHead(DIM, 1, WIDTH, gated=gated)
    head.classifier = nn.Sequential(nn.Linear(WIDTH, 1))  # that library's; ours is the paper's
    names = {**(GATED if gated else POOLING), "classifier.module": "classifier.0"}
    logit, attention = answer(load(head, given["state"], names), n_rows)
    expected = given["answers"][n_rows]
    torch.testing.assert_close(float(logit), expected["logit"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(attention.tolist(), expected["attention"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_rows", ["4", "9"])
def test_clam(n_rows: str) -> None:
    given = GIVEN["clam_sb"]
    head = ClamHead(DIM, TaskKind.BINARY, 1, WIDTH)
    logit, attention = answer(load(head, given["state"], GATED), n_rows)
    expected = given["answers"][n_rows]
    torch.testing.assert_close(float(logit), expected["logit"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(attention.tolist(), expected["attention"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_rows", ["4", "9"])
def test_transmil(n_rows: str) -> None:
    given = GIVEN["transmil"]
    width = 2 * WIDTH
    head = TransMilHead(DIM, 1, width)
    load(head, {name: values for name, values in given["state"].items() if name != "cls_token"}, TRANSFORMER)
    with torch.no_grad():
        head.token.copy_(torch.tensor(given["state"]["cls_token"][0][0]))
        for layer in (head.before, head.after):
            layer.out.weight.copy_(torch.eye(width))  # that library has no projection here
    logit, attention = answer(head, n_rows)
    expected = given["answers"][n_rows]
    torch.testing.assert_close(float(logit), expected["logit"], rtol=1e-7, atol=1e-7)
    weights = torch.tensor(expected["attention"], dtype=torch.float64)
    torch.testing.assert_close(attention.exp(), weights, rtol=1e-7, atol=1e-7)
