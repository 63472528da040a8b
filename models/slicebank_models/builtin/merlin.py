"""Merlin: an inflated ResNet-152 for abdominal CT."""

from dataclasses import replace

from slicebank_models.builtin.untrained import SEED
from slicebank_models.cards import WeightsState, draft_scan_card
from slicebank_models.volume_spec import Resampling, VolumeSpec
from slicebank_models.weights_source import WeightsSource

VOLUME = VolumeSpec(
    axes="RAS",
    spacing_mm=(1.5, 1.5, 3.0),
    size=(224, 224, 160),
    hu=(-1000.0, 1000.0),
    scaled_to=(0.0, 1.0),
    pad=0.0,
    resampling=Resampling.MONAI,
)

_PUBLISHED = replace(
    draft_scan_card(
        "merlin",
        "merlin",
        VOLUME,
        licence="MIT",
        paper="Blankemeier et al., Merlin: A Vision Language Foundation Model for 3D Computed Tomography, arXiv:2406.06512",
        description="Inflated ResNet-152, trained on abdominal CT with reports and diagnosis codes; one row a scan.",
    ),
    dim=512,
    parameters=118566720,
    source=WeightsSource(
        repo="stanfordmimi/Merlin",
        file="i3_resnet_clinical_longformer_best_clip_04-02-2024_23-21-36_epoch_99.pt",
        licence_url="https://github.com/StanfordMIMI/Merlin/blob/main/LICENSE",
    ),
    code="https://github.com/StanfordMIMI/Merlin@2489a96bab716b6b27e3e693e2e9e9a1587135a5",
    notes=(
        "The feature is the 512-d contrastive head's output as it is; the official code divides it by its norm, and "
        "with ImageEmbedding=True gives the 2048 pooled channels instead. The paper's 122 M parameters are the image "
        "encoder with its classifier of 1692 phenotypes (121,882,204); without that classifier 118,415,296 remain, to "
        "which the count here adds the running statistics of the norms. Scans longer than 480 mm or wider than 336 mm "
        "are cropped about their centre, as in the official transforms."
    ),
    row_bytes=1_420_000_000,
)

_UNTRAINED = replace(
    _PUBLISHED,
    id="merlin.untrained",
    licence="Apache-2.0 (own implementation; weights by formula)",
    description=(
        "Merlin's architecture with seeded, UNTRAINED weights on volumes of a quarter of its resolution: for trying the "
        "pipeline, not for clinical questions."
    ),
    weights=WeightsState.SEEDED,
    weights_digest="788b42bd414715b6c0c87ef891481d4ddd56d69420b0dacc32ff14dd32e3fa32",
    weights_file=None,
    seed=SEED,
    trained=False,
    volume=replace(VOLUME, spacing_mm=(6.0, 6.0, 12.0), size=(56, 56, 40)),
    source=None,
    notes="",
    row_bytes=39_000_000,
)

CARDS = (_PUBLISHED, _UNTRAINED)
