import pytest
import torch

from slicebank_models.heads.multibranch import MultiBranchHead
from slicebank_models.heads.pooling import PooledHead


def test_a_mean_is_that_of_the_hidden_rows_and_looks_at_all_alike() -> None:
    torch.manual_seed(0)
    head = PooledHead(4, 2, 6).double().eval()
    rows = torch.randn(8, 4, dtype=torch.float64)
    with torch.inference_mode():
        output = head(rows, torch.tensor([5, 3]))
        for at, bag in enumerate(rows.split([5, 3])):
            torch.testing.assert_close(output.logits[at], head.classifier(head.encoder(bag).mean(dim=0)))
    assert output.attention_logits.tolist() == [0.0] * 8


def test_a_maximum_looks_at_the_rows_that_give_it() -> None:
    head = PooledHead(3, 1, 4, highest=True).double().eval()
    with torch.no_grad():
        head.encoder[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]))
        head.encoder[0].bias.zero_()
    # Unit 0 is highest in row 0; units 1 and 2 in rows 1 and 2 alike; unit 3 is dark in every row and tells nothing.
    rows = torch.tensor([[5.0, 0, -1], [4, 2, -1], [0, 2, -2], [0, 0, 0]], dtype=torch.float64)
    with torch.inference_mode():
        output = head(torch.cat([rows, torch.zeros(2, 3)]), torch.tensor([4, 2]))
        expected = head.classifier(torch.tensor([5.0, 2, 2, 0], dtype=torch.float64))
    torch.testing.assert_close(output.logits[0], expected)
    shares = output.attention_logits.exp()
    assert shares[:4].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-8)
    assert shares[4:].tolist() == pytest.approx([0.5, 0.5])


def test_every_output_pools_by_its_own_attention() -> None:
    torch.manual_seed(0)
    head = MultiBranchHead(4, 3, 6).double().eval()
    rows = torch.randn(8, 4, dtype=torch.float64)
    with torch.inference_mode():
        output = head(rows, torch.tensor([5, 3]))
        for at, (bag, logits) in enumerate(zip(rows.split([5, 3]), output.attention_logits.split([5, 3]), strict=True)):
            hidden = head.encoder(bag)
            for place in range(3):
                pooled = sum(a * h for a, h in zip(torch.softmax(logits[:, place], dim=0), hidden, strict=True))
                torch.testing.assert_close(output.logits[at, place], head.last(head.trunk(pooled))[place])
