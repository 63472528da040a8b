import math

import pytest
import torch

from slicebank_models.heads.transmil import SquareConvolutions, TransMilHead


@pytest.mark.parametrize("n_rows", [1, 2, 4, 7])
def test_the_first_rows_fill_up_the_square(n_rows: int) -> None:
    torch.manual_seed(0)
    layer = SquareConvolutions(3).double()
    rows = torch.randn(n_rows, 3, dtype=torch.float64)
    side = math.ceil(math.sqrt(n_rows))
    cells = [rows[place] if place < n_rows else rows[place - n_rows] for place in range(side * side)]
    with torch.no_grad():
        for place, found in enumerate(layer(rows.unsqueeze(0))[0]):
            expected = rows[place].clone()
            for convolution in layer.convolutions:
                reach = convolution.kernel_size[0] // 2
                expected += convolution.bias
                for down in range(-reach, reach + 1):
                    for across in range(-reach, reach + 1):
                        line, column = place // side + down, place % side + across
                        if 0 <= line < side and 0 <= column < side:
                            weight = convolution.weight[:, 0, down + reach, across + reach]
                            expected += weight * cells[side * line + column]
            torch.testing.assert_close(found, expected)


def test_a_bags_attention_is_of_its_class_token_in_the_last_layer() -> None:
    torch.manual_seed(0)
    head = TransMilHead(4, 2, 6).double().eval()
    rows = torch.randn(7, 4, dtype=torch.float64)
    with torch.no_grad():
        output = head(rows, torch.tensor([7]))
        tokens = head.before(torch.cat([head.token.unsqueeze(0), head.encoder(rows)]).unsqueeze(0))
        tokens = torch.cat([tokens[:, :1], head.position(tokens[:, 1:])], dim=1)
        # The token's row of the whole layer is what `first` computes alone.
        whole = head.after(tokens)[0, 0]
        torch.testing.assert_close(output.logits[0], head.classifier(head.norm(whole)))
        query, key, _ = head.after.qkv(head.after.norm(tokens[0])).view(8, 3, 2, 3).permute(1, 2, 0, 3)
        weights = torch.stack([torch.softmax(k @ q[0] / math.sqrt(3), dim=0) for q, k in zip(query, key, strict=True)])
    torch.testing.assert_close(output.attention_logits.exp(), weights.mean(dim=0)[1:])
