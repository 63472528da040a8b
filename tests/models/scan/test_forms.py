"""Which form is taken where, and what is missing where."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from slicebank_models.scan.ordered import ScanForm, _best_form, installed

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None  # as if it were not installed
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == "numba" else find(name, *args)
import torch
from slicebank_models.scan import selective_scan
ones = torch.ones(1, 2, 9)
print(selective_scan(ones, ones, -torch.ones(2, 3), torch.ones(1, 1, 3, 9), torch.ones(1, 1, 3, 9)).shape)
"""


def test_the_fastest_form_for_the_device_is_taken() -> None:
    assert _best_form(torch.device("cpu"), torch.float32) is (
        ScanForm.COMPILED if installed("numba") else ScanForm.CHUNKED
    )
    assert _best_form(torch.device("cuda"), torch.float64) is ScanForm.CHUNKED
    assert _best_form(torch.device("cuda"), torch.bfloat16) is (
        ScanForm.TRITON if installed("triton") else ScanForm.CHUNKED
    )
    assert _best_form(torch.device("mps"), torch.float32) is ScanForm.CHUNKED


def test_it_works_without_numba() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.Size([1, 2, 9])"


def test_importing_the_encoder_imports_neither_numba_nor_triton() -> None:
    code = (
        "import sys, torch, timm; before = set(sys.modules); import slicebank_models.encoders.vmamba; "
        "print(sorted({'numba', 'triton'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not installed("numba"), reason="compiled form needs numba; CUDA machines may lack it")
def test_no_threads_are_started_where_torch_has_one() -> None:
    from slicebank_models.scan import compiled

    before = torch.get_num_threads()
    seen: set[int] = set()
    torch.set_num_threads(1)
    try:
        compiled._share(lambda image, low, high: seen.add(threading.get_ident()), 5, 512)
        assert seen == {threading.get_ident()}
        torch.set_num_threads(4)
        shares: list[tuple[int, int, int]] = []
        compiled._share(lambda *share: shares.append(share), 1, 200)
    finally:
        torch.set_num_threads(before)
    covered = sorted(channel for _, low, high in shares for channel in range(low, high))
    assert covered == list(range(200))
    assert len(shares) > 1


@pytest.mark.skipif(not installed("numba"), reason="compiled form needs numba; CUDA machines may lack it")
def test_exponentials_are_exact_to_single_precision() -> None:
    import numba

    from slicebank_models.scan.fast_exp import exp2, log1p_unit

    @numba.njit
    def both(powers: np.ndarray, units: np.ndarray) -> None:
        for i in range(powers.size):
            powers[i] = exp2(powers[i])
            units[i] = log1p_unit(units[i])

    powers = np.linspace(-126, 127, 100_001, dtype=np.float32)
    units = np.linspace(0, 1, 100_001, dtype=np.float32)
    expected = np.exp2(powers.astype(np.float64)), np.log1p(units.astype(np.float64))
    both(powers, units)
    assert np.abs(powers / expected[0] - 1).max() < 3e-7
    assert units[0] == 0
    assert np.abs(units[1:] / expected[1][1:] - 1).max() < 3e-7
    extremes = np.array([-1e30, -np.inf, 0.0, 1e30], dtype=np.float32)
    both(extremes, np.zeros(4, dtype=np.float32))
    assert extremes[0] == extremes[1] == np.float32(2.0**-126)
    assert extremes[2] == 1
    assert np.isfinite(extremes[3])
