"""Thousands of damaged real files: a verdict for each, in time and in memory, and no process that dies of one."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.imaging.fuzzing import MUTATIONS, mutated, spans
from tests.imaging.making import ct_dataset, write

REPOSITORY = Path(__file__).resolve().parents[2]
CPU_SECONDS = 5.0  # of one file; processor time, so that a busy machine changes nothing
GROWN_BYTES = 256 << 20  # of the process; the largest file has 3 MB


def _judge(real_ct: Path, folder: Path, count: int) -> Counter[str]:
    """Codes of `count` damaged files; the worker warns of nothing, and its death names the seed."""
    command = [sys.executable, "-W", "error", "-m", "tests.imaging.fuzzing_worker"]
    done = subprocess.run(
        [*command, str(real_ct), str(folder), "0", str(count)], cwd=REPOSITORY, capture_output=True, text=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1] if lines else ''}\n{done.stderr[-4000:]}"
    judged = [line for line in lines if "code" in line]
    assert len(judged) == count
    assert [line for line in judged if line["code"].startswith("crash") or line["code"] == "no sentence"] == []
    assert max(judged, key=lambda line: line["cpu_seconds"])["cpu_seconds"] < CPU_SECONDS
    assert sum(line["grown_bytes"] for line in judged) < GROWN_BYTES
    return Counter(line["code"] for line in judged)


@pytest.mark.realct
def test_a_few_hundred(real_ct: Path, tmp_path: Path) -> None:
    codes = _judge(real_ct, tmp_path, 400)
    assert codes["ok"] > 40  # the damage is not such that nothing gets as far as the codecs
    assert len(codes) > 8


@pytest.mark.slow
@pytest.mark.realct
def test_ten_thousand(real_ct: Path, tmp_path: Path) -> None:
    codes = _judge(real_ct, tmp_path, 10_000)
    assert codes["ok"] > 1000
    assert codes["decode_failed"] > 50
    assert len(codes) > 10


def test_damage_is_a_function_of_its_seed(tmp_path: Path) -> None:
    source = write(tmp_path / "x.dcm", ct_dataset()).read_bytes()
    assert [mutated(source, seed) for seed in range(60)] == [mutated(source, seed) for seed in range(60)]
    assert len({mutated(source, seed) for seed in range(60)}) > 50


def test_elements_are_found(tmp_path: Path) -> None:
    found = spans(write(tmp_path / "x.dcm", ct_dataset()).read_bytes())
    assert {(0x0002, 0x0010), (0x0028, 0x0010), (0x7FE0, 0x0010)} <= {span.tag for span in found}
    assert len(MUTATIONS) > 10
