"""An encoder that takes its time and no processor: for trying deployments, whose parts it leaves room to work."""

import time

import torch
from torch import Tensor

from slicebank_models.encoders.dummy import DummyEncoder
from slicebank_models.encoders.family import EncoderFamily

# About what a row of the default encoder takes on one core of docs/performance.md, so that jobs last as long as real ones.
SECONDS_A_ROW = 0.05


class SleepEncoder(DummyEncoder):
    """The features of `dummy`, after a sleep for every row.

    Rows are encoded one at a time: a matrix product may round differently in another batch, and features that never do can be
    compared byte for byte between runs.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Encodes (B, S, S) uint8 rows to (B, 16) float32."""
        return torch.cat([self._slowly(rows[index : index + 1]) for index in range(len(rows))])

    def _slowly(self, row: Tensor) -> Tensor:
        time.sleep(SECONDS_A_ROW)
        return super().forward(row)


FAMILY = EncoderFamily(("sleep",), lambda card: SleepEncoder(input_size=card.input_size))
