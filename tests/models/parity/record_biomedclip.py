"""Records what open_clip's BiomedCLIP gives.

    python -m tests.models.parity.record_biomedclip

Needs open_clip_torch and transformers. The model is built from the settings of the published `open_clip_config.json`, which
are written out below; the text tower's BERT has the default configuration of transformers, which is that of
BiomedNLP-BiomedBERT-base. Tensors of the image tower have values by formula, those of its stem by `faint_stem`; the text
tower is recorded by name and shape.
"""

from __future__ import annotations

from importlib.metadata import version

import open_clip  # type: ignore[import-not-found]
import torch
import transformers  # type: ignore[import-not-found]
from open_clip.hf_model import HFTextEncoder  # type: ignore[import-not-found]
from open_clip.model import CLIPVisionCfg, CustomTextCLIP  # type: ignore[import-not-found]

from slicebank_models.encoders.slice_encoder import GreyToChannels
from tests.models.parity.faint_stem import faint_stem
from tests.models.parity.formula import parity_rows, parity_state
from tests.models.parity.goldens import write_golden

VISION = {
    "timm_model_name": "vit_base_patch16_224",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
    "image_size": 224,
}
DIM = 512


def build() -> CustomTextCLIP:
    """The whole model; `CustomTextCLIP` would fetch BERT's configuration, so that the text tower is set by hand."""
    text = HFTextEncoder(
        "bert",
        DIM,
        config=transformers.BertConfig(),
        pooler_type="cls_last_hidden_state_pooler",
        proj_type="mlp",
        pretrained=False,
    )
    model = CustomTextCLIP(DIM, CLIPVisionCfg(**VISION), {"width": 64, "layers": 1, "heads": 1})
    model.text = text
    return model.eval()


def main() -> None:
    """Records the three fixed rows at 224 pixels."""
    model = build()
    state = model.state_dict()
    own = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    model.load_state_dict({**state, **parity_state(own, override=faint_stem)})
    channels = GreyToChannels(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    with torch.inference_mode():
        features = model.encode_image(channels(parity_rows(224)))
    write_golden(
        "biomedclip",
        official={
            "package": "open_clip_torch",
            "version": version("open_clip_torch"),
            "class": "open_clip.model.CustomTextCLIP.encode_image",
        },
        software={"timm": version("timm"), "transformers": transformers.__version__},
        recorded_by="python -m tests.models.parity.record_biomedclip",
        state=state,
        features=features,
    )


if __name__ == "__main__":
    main()
