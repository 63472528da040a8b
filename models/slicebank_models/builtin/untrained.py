"""Cards of networks with seeded weights (`encoders/seeding.py`).

They are called `<architecture>.untrained`, so that nobody takes their features for learned ones.
"""

from slicebank_models.cards import IMAGENET_MEAN, IMAGENET_STD, EncoderCard, EncoderLevel, InputKind, WeightsState

SEED = 0


def untrained_card(
    architecture: str,
    family: str,
    *,
    dim: int,
    parameters: int,
    digest: str,
    licence: str,
    paper: str,
    code: str = "",
    row_bytes: int = 0,
) -> EncoderCard:
    """Returns the card of a slice encoder of 224 pixels, ImageNet's mean and deviation and the paper's two windows.

    `dataclasses.replace` makes others of it.

    Args:
        architecture: Name that it is built by.
        family: What it is, in words.
        dim: Length of a feature row.
        parameters: Number of numbers in its weights.
        digest: Of the weights that the formula gives for `SEED`.
        licence: Of the architecture's code; weights by formula have none.
        paper: Where the architecture is described.
        code: Official implementation.
        row_bytes: Memory that one more row of a batch takes.
    """
    return EncoderCard(
        id=f"{architecture}.untrained",
        architecture=architecture,
        dim=dim,
        level=EncoderLevel.SLICE,
        input_kind=InputKind.GRAY8,
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        windows=("abdomen", "lung"),
        licence=licence,
        paper=paper,
        description=f"{family}, with seeded, UNTRAINED weights: for trying the pipeline, not for clinical questions.",
        parameters=parameters,
        weights=WeightsState.SEEDED,
        weights_digest=digest,
        seed=SEED,
        trained=False,
        code=code,
        row_bytes=row_bytes,
    )
