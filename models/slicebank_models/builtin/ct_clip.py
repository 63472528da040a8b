"""CT-CLIP, which reads a whole scan."""

from dataclasses import replace

from slicebank_models.builtin.untrained import SEED
from slicebank_models.cards import WeightsState, draft_scan_card
from slicebank_models.volume_spec import Resampling, VolumeSpec
from slicebank_models.weights_source import WeightsSource

_NOTES = (
    "The feature is the image latent of unit length, as forward(return_latents=True) of the original gives it. "
    "Weights used here: 178,616,136 numbers, of which the projection of 24 x 24 x 512 codes to the latent is 150,994,944 "
    "and the codebook 4,194,304. The published model without its text encoder has 328,666,521 parameters (329 M): it adds "
    "a second projection of the same size that nothing uses, a decoder and the projections of texts. The 1,110 M of the "
    "comparison in the LECL paper is not the number of parameters of any part or the whole of the published model (the whole, with "
    "its BERT of 110 M, has some 440 M). "
    "Files of CT-RATE lie as stored, without reorientation: the model's axes are superior, left, posterior. "
    "The transformer is always computed in float32: rounding would move tokens to other codes of the codebook."
)

_VOLUME = VolumeSpec(
    axes="SLP",
    spacing_mm=(1.5, 0.75, 0.75),
    size=(240, 480, 480),
    hu=(-1000.0, 1000.0),
    scaled_to=(-1.0, 1.0),
    pad=-1.0,
    resampling=Resampling.TORCH_TRILINEAR,
)

_PUBLISHED = replace(
    draft_scan_card(
        "ct_clip",
        "ct_clip",
        _VOLUME,
        licence="CC-BY-NC-SA-4.0; gated: the terms of CT-RATE must be accepted",
        paper="Hamamci et al., Developing Generalist Foundation Models from a Multimodal Dataset for 3D CT, arXiv:2403.17834",
        description="Image encoder of CT-CLIP, trained on 50,188 chest CT volumes with their reports. One row a scan.",
    ),
    dim=512,
    parameters=178616136,
    source=WeightsSource(
        repo="ibrahimhamamci/CT-RATE",
        file="models/CT-CLIP-Related/CT-CLIP_v2.pt",
        gated=True,
        dataset=True,
        licence_url="https://huggingface.co/datasets/ibrahimhamamci/CT-RATE",
    ),
    code="https://github.com/ibrahimethemhamamci/CT-CLIP@a2a155c601987820433c01db69b64d701d3d229d",
    notes=_NOTES,
    row_bytes=595_000_000,
)

_UNTRAINED = replace(
    _PUBLISHED,
    id="ct_clip.untrained",
    licence="Apache-2.0 (own implementation; weights by formula)",
    description=(
        "CT-CLIP's image encoder with seeded, UNTRAINED weights on volumes of a quarter of its resolution: for trying the "
        "pipeline, not for clinical questions."
    ),
    parameters=37058376,
    weights=WeightsState.SEEDED,
    weights_digest="00b0d5f75734b39a54daf738183e3761e3566119f72d160a86197199c1f9f20e",
    weights_file=None,
    seed=SEED,
    trained=False,
    volume=replace(_VOLUME, spacing_mm=(6.0, 3.0, 3.0), size=(60, 120, 120)),
    source=None,
    notes="",
    row_bytes=67_108_864,
)

CARDS = (_PUBLISHED, _UNTRAINED)
