"""A frozen encoder on a device: numpy rows in, numpy features out."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.backends import cudnn

from slicebank_models.cards import EncoderCard, InputKind
from slicebank_models.encoders.encoder import Encoder
from slicebank_models.errors import BadRows

JSON = dict[str, Any]
Precision = Literal["standard", "fp32"]

_CUDNN_FLAGS = threading.Lock()

CPU_INFO = Path("/proc/cpuinfo")
# Instruction sets that multiply bfloat16 themselves: x86's two and Arm's. Elsewhere torch converts to float32 and back,
# which is slower than float32.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def has_native_bfloat16(device: torch.device, cpu_info: Path = CPU_INFO) -> bool:
    """Says whether `device` multiplies bfloat16 in hardware.

    Args:
        device: CPU or CUDA; any other kind answers no.
        cpu_info: Linux's list of processor flags; where it is absent the CPU is taken to have no bfloat16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not cpu_info.is_file():
        return False
    lines = cpu_info.read_text(encoding="ascii", errors="replace").splitlines()
    flags = next((line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(BFLOAT16_FLAGS & set(flags.split()))


class FrozenEncoder:
    """Runs one encoder without gradients, channels last (volumes: as they come), in the precision that was asked for.

    `standard` means bfloat16 matrices where the device has bfloat16 in hardware, else float32; `fp32` means float32
    throughout (TF32 off). Encoders of HU rows and those that only count always run in float32.

    Args:
        card: The encoder's card.
        module: What `load_encoder` returned for it.
        device: Where to run; the module is moved there.
        precision: Requested precision class.
    """

    def __init__(
        self,
        card: EncoderCard,
        module: Encoder,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "standard",
    ) -> None:
        self.card = card
        self.device = torch.device(device)
        self.dtype = torch.float32
        low = precision == "standard" and module.lowers and card.input_kind is not InputKind.HU
        if low and has_native_bfloat16(self.device):
            self.dtype = torch.bfloat16
            module.lower(self.dtype)
        self._channels_last = (
            card.input_kind is not InputKind.VOLUME
        )  # of four dimensions; convolutions of volumes have five
        module = module.eval().to(self.device)
        self._module = module.to(memory_format=torch.channels_last) if self._channels_last else module

    @property
    def dim(self) -> int:
        """Length of one feature row."""
        return self._module.dim

    @property
    def numerics(self) -> JSON:
        """What really runs: device, dtype of the matrix products, memory layout and torch's version."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return {
            "device": name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "channels_last": self._channels_last,
            "torch": torch.__version__,
        }

    @contextmanager
    def _exact_convolutions(self) -> Iterator[None]:
        """On CUDA: no TF32 and no choice of algorithm by timing, so that the same rows give the same bits.

        cuDNN's flags are the process's: one thread at a time, or one that ends would change them under another.
        """
        if self.device.type != "cuda":
            yield
            return
        with _CUDNN_FLAGS, cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield

    def encode(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Encodes rows of one batch.

        Args:
            rows: (B, S, S) uint8 grey levels, (B, S, S) float32 HU scaled to 0..1 over the row's window, or
                (B, *size) float32 volumes of the card's `VolumeSpec`. B may be 0.

        Returns:
            (B, dim) features, row by row.

        Raises:
            BadRows: Another shape or dtype.
        """
        shape = self._module.row_shape
        dtype = np.dtype(np.uint8 if self.card.input_kind is InputKind.GRAY8 else np.float32)
        if rows.ndim == 0 or rows.shape[1:] != shape or rows.dtype != dtype:
            wanted = ", ".join(map(str, shape))
            raise BadRows(
                f"Encoder {self.card.id} takes ({dtype}, (B, {wanted})) rows, not ({rows.dtype}, {rows.shape})."
            )
        if len(rows) == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        batch = torch.from_numpy(np.require(rows, requirements=["C", "W"])).to(self.device)
        return self.features(batch).cpu().numpy()

    def features(self, rows: torch.Tensor) -> torch.Tensor:
        """Encodes rows that are on the device already; on CUDA, on the current stream and without waiting.

        Args:
            rows: As for `encode`, B at least 1.

        Returns:
            (B, dim) float32 on the device.
        """
        with torch.inference_mode(), self._exact_convolutions():
            features: torch.Tensor = self._module(rows)
        return features.float()
