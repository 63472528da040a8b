"""What checkpoints of contrastive training and of classification have where an encoder ends."""

import re

_PROJECTOR = re.compile(r"head\.\d+\.")


def head_reason(key: str) -> str:
    """Says what a key under `head.` or `fc.` belongs to: MoCo v3 numbers the layers of its projector."""
    return "projector of the contrastive training" if _PROJECTOR.match(key) else "classifier head"
