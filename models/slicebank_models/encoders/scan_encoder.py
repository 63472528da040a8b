"""What encoders of whole scans share: one volume in, one vector out."""

from typing import ClassVar

from slicebank_models.cards import InputKind
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.volume_spec import VolumeSpec


class ScanEncoder(Encoder):
    """Frozen encoder of volumes: (B, *spec.size) float32 to (B, dim) features.

    Volumes come clipped, scaled, resampled and sized as `spec` says, their axes in its order.
    """

    input_kind: ClassVar[InputKind] = InputKind.VOLUME

    def __init__(self, *, dim: int, spec: VolumeSpec) -> None:
        super().__init__(dim=dim, row_shape=spec.size)
        self.spec = spec
