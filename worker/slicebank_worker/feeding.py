"""An engine on the devices of a plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from slicebank_models.cards import EncoderLevel
from slicebank_models.inference import FrozenEncoder
from slicebank_worker.device import Runners
from slicebank_worker.engine import EncoderKey, EncoderShelf, Engine, EngineLimits
from slicebank_worker.engine.cuda import CudaEncoder
from slicebank_worker.engine.host import HostEncoder
from slicebank_worker.engine.shelf import BatchEncoder

# Of one device; the one used last is dropped last.
ENCODERS_KEPT = 3

LoadEncoder = Callable[[EncoderKey, torch.device], FrozenEncoder]
"""Makes the encoder of a key ready on a device; its errors reach the jobs that asked."""


def start_engine(
    plan: Runners, load: LoadEncoder, limits_of: Callable[[EncoderKey], EngineLimits] | None = None
) -> Engine:
    """Starts the runners of a plan; runners of one device share its encoders. The engine is the caller's to close.

    Args:
        plan: of the worker.
        load: makes an encoder ready.
        limits_of: how batches of an encoder are made; None for the plan's own way.
    """

    def begin(number: int) -> None:
        torch.set_num_threads(plan.threads)
        if plan.on_gpu:
            torch.cuda.set_device(plan.devices[number])

    def on_shelf(device: torch.device, key: EncoderKey) -> BatchEncoder:
        encoder = load(key, device)
        if plan.on_gpu:
            return CudaEncoder(encoder)
        return HostEncoder(encoder, plan.all_threads if encoder.card.level is EncoderLevel.SCAN else None)

    shelves = {device: EncoderShelf(partial(on_shelf, device), ENCODERS_KEPT) for device in set(plan.devices)}
    return Engine([shelves[device] for device in plan.devices], limits_of or plan.limits, begin)
