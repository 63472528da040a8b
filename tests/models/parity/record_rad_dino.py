"""Records what transformers' Dinov2Model gives under the published configuration of RAD-DINO.

    python -m tests.models.parity.record_rad_dino

The model is made, and its tensors named, by transformers alone; tensors are set in the class itself, by the names that
`save_pretrained` gives them, which are those of the published file. The configuration is that of microsoft/rad-dino, written out
here; rows are normalised as its image processor does it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden

CONFIG = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "mlp_ratio": 4,
    "image_size": 518,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}
MEAN = (0.5307, 0.5307, 0.5307)
STD = (0.2583, 0.2583, 0.2583)


def main() -> None:
    """Records the three fixed rows at 518 pixels."""
    blank = transformers.Dinov2Model(transformers.Dinov2Config(**CONFIG))
    with tempfile.TemporaryDirectory() as folder:
        blank.save_pretrained(folder)
        file = Path(folder) / "model.safetensors"
        state = parity_state(load_file(file))
        save_file(state, file, {"format": "pt"})
        model = transformers.Dinov2Model.from_pretrained(folder).eval()
    with torch.inference_mode():
        features = model(pixel_values=GreyToChannels(MEAN, STD)(parity_rows(518))).pooler_output
    write_golden(
        "rad_dino",
        official={
            "package": "transformers",
            "version": transformers.__version__,
            "class": "transformers.Dinov2Model (pooler_output)",
        },
        software={},
        recorded_by="python -m tests.models.parity.record_rad_dino",
        state=state,
        features=features,
    )


if __name__ == "__main__":
    main()
