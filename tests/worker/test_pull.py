"""Pulls as jobs: through the API, from a hub on this machine, into the registry that API and workers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_store.types import JobKind, JobState
from slicebank_worker.errors import JobCancelled
from slicebank_worker.jobs.outcome import run_jobs
from slicebank_worker.runtime import Role
from tests.models.hub.local_hub import LocalHub, forget_accounts, local_hub
from tests.worker.conftest import Workshop

REPO, FILE = "lab/dummy", "w.safetensors"
CONTENT = save({"matrix": torch.arange(256 * 16, dtype=torch.float32).reshape(256, 16) / 4096})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    forget_accounts(monkeypatch, tmp_path)
    with local_hub() as running:
        monkeypatch.setenv("SLICEBANK_HUB_ENDPOINT", running.url)
        yield running


@pytest.fixture
def shop(hub: LocalHub, request: pytest.FixtureRequest) -> Workshop:
    """A workshop whose settings name the hub of this machine."""
    workshop: Workshop = request.getfixturevalue("workshop")
    return workshop


ASKED = {"pull": f"hf:{REPO}:{FILE}", "id": "dummy.lab", "architecture": "dummy", "accept_licence": True}


def ask(shop: Workshop) -> str:
    answer = shop.api.post("/v1/encoders", json=ASKED)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def files(tmp_path: Path) -> dict[str, bytes]:
    written = write_dicom(make_phantom(PhantomSpec(seed=5, n_slices=3, size=32)), tmp_path / "phantom")
    return {path.name: path.read_bytes() for path in written.paths}


def weights(shop: Workshop) -> Path:
    folder = shop.world.registry.folder
    assert folder is not None
    return folder / "dummy.lab" / "weights.safetensors"


def test_from_a_pull_to_a_bag(shop: Workshop, hub: LocalHub, tmp_path: Path) -> None:
    hub.put(REPO, FILE, CONTENT)
    job = shop.run(ask(shop))
    assert (job.state, job.progress_unit) == (JobState.SUCCEEDED, "MB"), job.error_detail
    assert job.result is not None
    assert job.result["encoder_id"] == "dummy.lab"
    assert job.result["n_tensors"] == 1
    assert job.stages["fetch_s"] >= 0
    series = shop.upload(files(tmp_path), encoder="dummy.lab")
    assert shop.run(series["job_id"]).state is JobState.SUCCEEDED
    assert shop.api.get(f"/v1/bags/{series['bag_id']}").json()["dim"] == 16
    refused = shop.api.post("/v1/encoders", json=ASKED)
    assert refused.json()["code"] == "encoder_exists"


def test_a_pull_that_was_done_counts(shop: Workshop, hub: LocalHub) -> None:
    """Killed between registering and saying so, a job finds the encoder there."""
    hub.put(REPO, FILE, CONTENT)
    job_id = ask(shop)
    lease = shop.world.catalogue.jobs.claim(job_id, worker="w", lease_s=60)
    assert lease is not None
    with shop.runtime.leases.hold(lease) as hold:
        assert shop.runners[Role.EMBED](hold)
    asked = len(hub.asked)
    with shop.runtime.leases.hold(lease) as hold:
        assert shop.runners[Role.EMBED](hold), "its end was written by this very lease"
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("spoil", "code", "state"),
    [
        ("nothing there", "hub_access_denied", JobState.FAILED),
        ("gated", "hub_access_denied", JobState.FAILED),
        ("another file", "checkpoint_mismatch", JobState.FAILED),
        ("lies", "wrong_file", JobState.FAILED),
        ("away", "hub_unreachable", JobState.QUEUED),
    ],
)
def test_failures_have_their_codes(shop: Workshop, hub: LocalHub, spoil: str, code: str, state: JobState) -> None:
    if spoil != "nothing there":
        hub.put(REPO, FILE, save({"other": torch.zeros(2000)}) if spoil == "another file" else CONTENT)
    if spoil == "gated":
        hub.gated.add(REPO)
    if spoil == "lies":
        hub.lies[CONTENT] = CONTENT[:-1] + b"!"
    if spoil == "away":
        hub.down = True
    job = shop.run(ask(shop))
    assert (job.error_code, job.state, job.attempts) == (code, state, 1), job.error_detail
    assert not shop.world.registry.registered("dummy.lab")


def test_a_cancelled_pull_ends_in_the_middle(shop: Workshop, hub: LocalHub) -> None:
    hub.put(REPO, FILE, CONTENT)
    job_id = ask(shop)
    lease = shop.world.catalogue.jobs.claim(job_id, worker="w", lease_s=60)
    assert lease is not None
    shop.world.catalogue.jobs.request_cancel("default", job_id)
    with shop.runtime.leases.hold(lease) as hold:
        shop.runtime.leases.renew(job_id)
        with pytest.raises(JobCancelled):
            shop.runners[Role.EMBED](hold)
    assert not shop.world.registry.registered("dummy.lab")


def test_a_worker_that_lacks_weights_says_so_once(
    shop: Workshop,
    hub: LocalHub,
    tmp_path: Path,
) -> None:
    hub.put(REPO, FILE, CONTENT)
    shop.run(ask(shop))
    file = weights(shop)
    kept = file.read_bytes()
    series = shop.upload(files(tmp_path), encoder="dummy.lab")
    file.unlink()
    job = shop.run(series["job_id"])
    assert (job.state, job.error_code, job.attempts) == (JobState.FAILED, "weights_missing", 1)
    assert "encoders pull dummy.lab" in (job.error_detail or "")
    file.write_bytes(kept[:-1] + b"!")
    assert shop.api.post(f"/v1/jobs/{job.job_id}/retry").status_code == 202
    job = shop.run(job.job_id)
    assert (job.error_code, job.attempts) == ("weights_missing", 1)
    assert "encoders verify dummy.lab" in (job.error_detail or "")
    file.write_bytes(kept)
    assert shop.api.post(f"/v1/jobs/{job.job_id}/retry").status_code == 202
    assert shop.run(job.job_id).state is JobState.SUCCEEDED


def test_embed_hands_leave_pulls_to_those_of_transfers(shop: Workshop) -> None:
    job_id = ask(shop)
    run_jobs(shop.runtime, "embed", shop.runners[Role.EMBED], kinds=[kind for kind in JobKind if not kind.transfers])
    assert shop.job(job_id).state is JobState.QUEUED
