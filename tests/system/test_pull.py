"""Weights pulled by a running service: command line, API, an embed worker's hands, one folder for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from slicebank import Conflict, NotAuthorised
from slicebank.doctor.server import examine_server
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.models.hub.local_hub import LocalHub, local_hub
from tests.system.conftest import Service, start_service, stop_service

pytestmark = pytest.mark.system

ADMIN = "key-of-administrators"
REPO, FILE = "lab/dummy", "w.safetensors"


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as running:
        # Large enough to be cut in the middle, with another ending than the encoder alone has.
        weights = {"matrix": torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16) / 4096}
        running.put(REPO, FILE, save(weights))
        running.licences[REPO] = "cc-by-4.0"
        yield running


@pytest.fixture
def service(tmp_path: Path, hub: LocalHub) -> Iterator[Service]:
    running = start_service(
        tmp_path / "data", SLICEBANK_HUB_ENDPOINT=hub.url, SLICEBANK_ADMIN_KEY=ADMIN, NO_PROXY="127.0.0.1,localhost"
    )
    yield running
    stop_service(running)


def slicebank(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "slicebank", "--data-dir", str(service.data_dir), *arguments]
    environment = {**os.environ, "SLICEBANK_DATA_DIR": str(service.data_dir), "COLUMNS": "200"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_from_a_hub_to_a_bag(service: Service, tmp_path: Path) -> None:
    pull = ("encoders", "pull", f"hf:{REPO}:{FILE}", "--id", "dummy.lab", "--architecture", "dummy", "--server")
    refused = slicebank(service, *pull, "--accept-licence")
    assert refused.returncode == 1
    assert "administrator" in refused.stderr
    unread = slicebank(service, *pull, "--api-key", ADMIN)
    assert unread.returncode == 1
    assert f"/{REPO}" in unread.stderr
    done = slicebank(service, *pull, "--accept-licence", "--api-key", ADMIN)
    assert done.returncode == 0, done.stderr
    write_dicom(make_phantom(PhantomSpec(seed=3, n_slices=3, size=64)), tmp_path / "study")
    [series] = service.client.series.upload(tmp_path / "study", encoder="dummy.lab")
    assert series.job_id is not None
    service.client.jobs.wait(series.job_id, timeout=60)
    assert series.bag_id is not None
    assert service.client.bags.get(series.bag_id).dim == 16

    assert slicebank(service, "encoders", "verify").returncode == 0
    weights = service.data_dir / "encoders" / "dummy.lab" / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert slicebank(service, "encoders", "verify", "dummy.lab", "--server", "--api-key", ADMIN).returncode == 1
    weights.unlink()
    with pytest.raises(Conflict) as lost:
        service.client.series.upload(tmp_path / "study", encoder="dummy.lab", check=False)
    assert lost.value.code == "weights_missing"
    findings = {item.name: item for item in examine_server(service.client.url, key_of(service), None)}
    assert "dummy.lab" in findings["weights"].detail
    again = slicebank(service, "encoders", "pull", "dummy.lab", "--accept-licence", "--server", "--api-key", ADMIN)
    assert again.returncode == 0, again.stderr
    assert weights.read_bytes() == kept
    with pytest.raises(NotAuthorised):
        service.client.encoders.remove("dummy.lab")
    assert slicebank(service, "encoders", "remove", "dummy.lab", "-y").returncode == 0
    assert slicebank(service, "encoders", "show", "dummy.lab").returncode == 1


def key_of(service: Service) -> str:
    import json

    key: str = json.loads((service.data_dir / "client.json").read_text())["api_key"]
    return key
