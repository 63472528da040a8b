"""What a row takes of the device's memory, for the cards: every encoder in a process of its own, on the CPU in float32.

    python -m benchmarks.row_memory                 all encoders that are installed or built in
    python -m benchmarks.row_memory dummy merlin    some of them

Peak resident memory (VmHWM, which Linux lets a process reset) is read around batches, with an allocator that gives large blocks back at
once, so that one batch does not hide in what another left. Weights are whatever the architecture starts with: they do not matter here.
A scan counts by itself. Of slices the growth from a batch to a larger one counts, so that what a batch takes once is left out.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import subprocess
import sys
import time

from benchmarks.processes import peak_mib, reset_peak, resident_mib

_BATCHES = (2, 6)
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 1 << 16
_MIB = 1 << 20
_SLOW_S = 60  # a scan that takes longer is not encoded twice
_MARGIN = 1.1  # between processors, whose libraries keep other scratch


def measure(encoder_id: str) -> None:
    """Prints MiB a row and seconds a row of one encoder; to be run in a fresh process."""
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
    import torch

    from slicebank_models.cards import EncoderLevel, InputKind
    from slicebank_models.encoders.build import build_encoder
    from slicebank_models.registry import EncoderRegistry

    card = EncoderRegistry().get(encoder_id)
    scan = card.level is EncoderLevel.SCAN
    torch.set_num_threads(len(os.sched_getaffinity(0)) if scan else 1)
    encoder = build_encoder(card)
    generator = torch.Generator().manual_seed(0)

    def rows(number: int) -> torch.Tensor:
        shape = (number, *encoder.row_shape)
        if card.input_kind is InputKind.GRAY8:
            return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return torch.rand(shape, generator=generator)

    def peak(number: int) -> tuple[int, float]:
        """MiB above what rests in memory, the batch itself among them, and seconds."""
        resting = resident_mib(os.getpid())
        batch = rows(number)
        reset_peak(os.getpid())
        started = time.perf_counter()
        with torch.inference_mode():
            encoder(batch)
        return peak_mib(os.getpid()) - resting, time.perf_counter() - started

    first = peak(1)  # with whatever is built at the first call
    if scan:
        print(*(first if first[1] > _SLOW_S else peak(1)))
        return
    small, large = (peak(number) for number in _BATCHES)
    print(max(0.0, large[0] - small[0]) / (_BATCHES[1] - _BATCHES[0]), large[1] / _BATCHES[1])


def row_bytes(taken_mib: float) -> int:
    """What a card should say: a tenth more, in whole MiB."""
    return max(1, math.ceil(_MARGIN * taken_mib)) * _MIB


def main() -> None:
    from slicebank_models.registry import EncoderRegistry

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", help="ids; all where none is given")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.encoders[0])
        return
    registry = EncoderRegistry()
    print(f"{'encoder':40} {'MiB a row':>9} {'card, MiB':>9} {'s a row':>8}   row_bytes")
    for encoder_id in asked.encoders or [card.id for card in registry.cards()]:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.row_memory", "--measure", encoder_id],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            print(f"{encoder_id:40} {ran.stderr.strip().splitlines()[-1][:80]}", flush=True)
            continue
        taken, seconds = ran.stdout.split()[-2:]
        said = registry.get(encoder_id).row_bytes
        figures = f"{float(taken):9.1f} {said / _MIB:9.1f} {float(seconds):8.2f}   {row_bytes(float(taken))}"
        print(f"{encoder_id:40} {figures}", flush=True)


if __name__ == "__main__":
    main()
