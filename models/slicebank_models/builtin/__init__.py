"""The encoders that every installation knows, one file a family. No torch here.

Published encoders are listed before anybody has pulled their weights; networks with seeded weights are called
`<architecture>.untrained`. The weights of `shipped` lie inside the package.
"""

from slicebank_models.builtin import (
    baselines,
    biomedclip,
    ct_clip,
    ct_fm,
    dino,
    libraries,
    mambaout,
    merlin,
    sam2,
    vit_moco,
    vmamba,
)
from slicebank_models.shipped import SHIPPED

DEFAULT_ENCODER = SHIPPED.first("mambaout_femto.lecl") or "mambaout_femto.untrained"

BUILTIN_CARDS = (
    *mambaout.CARDS,
    *vit_moco.CARDS,
    *vmamba.CARDS,
    *ct_clip.CARDS,
    *merlin.CARDS,
    *ct_fm.CARDS,
    *biomedclip.CARDS,
    *sam2.CARDS,
    *dino.CARDS,
    *libraries.CARDS,
    *baselines.CARDS,
    *SHIPPED.cards,
)
