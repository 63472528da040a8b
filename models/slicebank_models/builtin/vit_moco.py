"""Vision transformers of MoCo v3."""

from slicebank_models.builtin.untrained import untrained_card

_PAPER = "Chen, Xie and He, An Empirical Study of Training Self-Supervised Vision Transformers, arXiv:2104.02057"
_LICENCE = "Apache-2.0 (own implementation; weights by formula)"
_CODE = "https://github.com/facebookresearch/moco-v3@c349e6e24f40d3fedb22d973f92defa4cedf37a7"

# Architecture, dimensions, parameters, bytes a row (benchmarks/row_memory.py) and digest of the seeded weights.
_NETWORKS = (
    ("vit_small", 384, 21665664, 4_700_000, "1843dd049c358954cc7b4bb715cbeef6f6e5ac693305ac3bf6a2a477336b1644"),
    ("vit_base", 768, 85798656, 8_700_000, "dd3e0a0a502513bfaf522bbf2796bd60b32d7a07ec388d88deae48ad233b6028"),
    ("vit_conv_small", 384, 20618832, 6_000_000, "c7f3eb956934eec96d859232d676e37d7bcb109faaeac7a96bfe0d04078b9879"),
    ("vit_conv_base", 768, 82202784, 9_900_000, "0b74acbd0b3dfd26477bdbdb51e577a55edb4653d175b793a07be378f2a3c4de"),
)

CARDS = tuple(
    untrained_card(
        name,
        "MoCo v3 vision transformer",
        dim=dim,
        parameters=parameters,
        digest=digest,
        licence=_LICENCE,
        paper=_PAPER,
        code=_CODE,
        row_bytes=row_bytes,
    )
    for name, dim, parameters, row_bytes, digest in _NETWORKS
)
