"""What every head is to training and serving: packed rows in, one answer a bag and the attention of every row out."""

from typing import NamedTuple

from torch import Tensor, nn


class HeadOutput(NamedTuple):
    """What a head says about packed bags.

    Attributes:
        logits: (B, n_outputs): log-odds (binary, multilabel), logits of classes, values in the label's own unit
            (regression), or the log hazard ratio (survival).
        attention_logits: (T,) before the softmax over a bag's rows, or (T, n_outputs) where every output has attention
            of its own. Heads that pool without attention give the logarithm of what each row contributed.
        loss: What the head itself wants lowered beside the answers (CLAM's instance clusters), averaged over the bags;
            None where it wants nothing or knows no targets.
    """

    logits: Tensor
    attention_logits: Tensor
    loss: Tensor | None = None


class Head(nn.Module):
    """Base of all heads. A bag's answer depends on its own rows alone; heads are deterministic under `eval()`."""

    def forward(self, rows: Tensor, lengths: Tensor, targets: Tensor | None = None) -> HeadOutput:
        """Reads packed bags.

        Args:
            rows: (T, d), bags end to end.
            lengths: (B,) int64, rows per bag, each at least 1.
            targets: (B, n) as `training.losses.targets_tensor` gives them, while training; only heads with a loss of
                their own look at them.
        """
        raise NotImplementedError
