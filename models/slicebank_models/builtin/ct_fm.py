"""CT-FM: a residual encoder of whole-body CT."""

from dataclasses import replace

from slicebank_models.builtin.untrained import SEED
from slicebank_models.cards import WeightsState, draft_scan_card
from slicebank_models.volume_spec import Resampling, VolumeSpec
from slicebank_models.weights_source import WeightsSource

VOLUME = VolumeSpec(
    axes="SPL",
    spacing_mm=(3.0, 1.0, 1.0),
    size=(160, 384, 448),
    hu=(-1024.0, 2048.0),
    scaled_to=(0.0, 1.0),
    pad=0.0,
    resampling=Resampling.MONAI,
)

_PUBLISHED = replace(
    draft_scan_card(
        "ct_fm",
        "ct_fm",
        VOLUME,
        licence="Apache-2.0",
        paper="Pai et al., Vision Foundation Models for Computed Tomography, arXiv:2501.09001",
        description="Residual encoder, trained without labels on 148,000 CT scans of all body parts; one row a scan.",
    ),
    dim=512,
    parameters=77774944,
    source=WeightsSource(
        repo="project-lighter/ct_fm_feature_extractor",
        file="model.safetensors",
        licence_url="https://huggingface.co/project-lighter/ct_fm_feature_extractor",
    ),
    code="https://github.com/project-lighter/CT-FM@f58c89a75ff0270ba6e339027e40bf04a221735d",
    notes=(
        "The published extractor takes a scan of any size and spacing, turned to SPL, scaled and cropped to values above "
        "-1024 HU, and gives the last level, whose mean is the feature. Here scans are first resampled to the 3, 1 and "
        "1 mm that training used, and what goes beyond 480 mm along the patient, 384 mm from front to back and 448 mm "
        "across is cropped about the centre; the crop to the foreground is part of the encoder, so that filling up "
        "changes nothing."
    ),
    row_bytes=2_650_000_000,
)

_UNTRAINED = replace(
    _PUBLISHED,
    id="ct_fm.untrained",
    licence="Apache-2.0 (own implementation; weights by formula)",
    description=(
        "CT-FM's architecture with seeded, UNTRAINED weights on coarse volumes: for trying the pipeline, not for "
        "clinical questions."
    ),
    weights=WeightsState.SEEDED,
    weights_digest="55b7d84fe3485ee96c4049b6a95fdebedeea0f8e335409056a9974c488797216",
    weights_file=None,
    seed=SEED,
    trained=False,
    volume=replace(VOLUME, spacing_mm=(12.0, 6.0, 6.0), size=(40, 64, 80)),
    source=None,
    notes="",
    row_bytes=146_000_000,
)

CARDS = (_PUBLISHED, _UNTRAINED)
