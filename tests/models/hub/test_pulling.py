"""Pulls from a hub on this machine, through the library of the real one."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load, save

from slicebank_models.cards import EncoderCard, WeightsState
from slicebank_models.digest import weights_digest
from slicebank_models.errors import (
    BadCard,
    BadReference,
    CheckpointMismatch,
    EncoderExists,
    HubAccessDenied,
    HubOffline,
    HubUnreachable,
    LicenceNotAccepted,
    NotOnHub,
    PullUnderWay,
    UnknownArchitecture,
    UnsafeCheckpoint,
    WrongFile,
)
from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.planning import plan_pull
from slicebank_models.hub.pulling import STAGING_PREFIX, pull
from slicebank_models.hub.references import parse_reference
from slicebank_models.loading import load_encoder
from slicebank_models.registry import EncoderRegistry
from slicebank_models.verifying import Soundness, verify_encoder
from tests.models.hub.conftest import FILE, REPO
from tests.models.hub.local_hub import COMMIT, TOKEN, LocalHub
from tests.models.hub.site import Site, Stopped


def digest_of(checkpoint: bytes) -> str:
    return weights_digest(load(checkpoint))


@pytest.fixture
def site(registry: EncoderRegistry, hub: LocalHub) -> Site:
    return Site(registry, HubAccess(hub.url))


def test_a_published_encoder_is_pulled_whole(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    sha256 = hub.put(REPO, FILE, checkpoint)
    pulled = site.pull("dummy.lab")
    card = site.registry.get("dummy.lab")
    assert card == pulled.card
    assert (card.weights, card.weights_digest) == (WeightsState.PRESENT, digest_of(checkpoint))
    assert card.source is not None
    assert (card.source.sha256, card.source.revision) == (sha256, COMMIT)
    assert len(pulled.report.mapped) == len(load_encoder(card, site.registry.folder).weights())
    assert site.left() == []
    assert verify_encoder(site.registry, "dummy.lab").soundness is Soundness.SOUND
    with pytest.raises(EncoderExists):
        site.plan("dummy.lab")


def test_it_is_known_as_missing_before(site: Site) -> None:
    card = site.registry.get("dummy.lab")
    assert card.weights is WeightsState.MISSING
    assert card in site.registry.cards()
    check = verify_encoder(site.registry, "dummy.lab")
    assert check.soundness is Soundness.MISSING
    assert "encoders pull dummy.lab" in check.detail


def test_nothing_is_fetched_before_the_licence_is_accepted(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put(REPO, FILE, checkpoint)
    plan = site.plan("dummy.lab")
    assert (plan.terms.licence, plan.terms.url) == ("CC-BY-4.0", f"{hub.url}/{REPO}")
    assert hub.asked == [], "a published card is planned without asking anybody"
    with pytest.raises(LicenceNotAccepted, match=r"CC-BY-4.0.*--accept-licence"):
        site.pull("dummy.lab", accepted=False)
    assert hub.asked == []


def test_a_cut_transfer_is_gone_on_with(site: Site, hub: LocalHub, large: bytes) -> None:
    hub.put(REPO, FILE, large)
    hub.cuts = [12_000_000]  # the library writes down 10 MiB at a time
    site.pull("dummy.lab")
    assert [asked.range for asked in hub.downloads()] == [None, f"bytes={10 * 2**20}-"]


def test_a_killed_pull_is_gone_on_with_by_the_next_process(site: Site, hub: LocalHub, large: bytes) -> None:
    hub.put(REPO, FILE, large)
    with pytest.raises(Stopped):
        site.pull("dummy.lab", stop_at=1)
    assert len(site.left()) == 2
    assert site.registry.get("dummy.lab").weights is WeightsState.MISSING
    site.pull("dummy.lab")
    begun = hub.downloads()[-1].range
    assert begun is not None
    assert begun != "bytes=0-"
    assert site.left() == []


def test_what_another_file_left_is_not_gone_on_with(site: Site, hub: LocalHub, large: bytes) -> None:
    hub.put(REPO, FILE, large + b" ")
    with pytest.raises(Stopped):
        site.pull("dummy.lab", stop_at=1)
    hub.put(REPO, FILE, large)
    site.pull("dummy.lab")
    assert hub.downloads()[-1].range is None


def test_the_pinned_file_and_no_other(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    sha256 = hub.put(REPO, FILE, checkpoint)
    with pytest.raises(WrongFile, match=f"{sha256}.*{'0' * 64}"):
        site.pull("dummy.lab", sha256="0" * 64)
    with pytest.raises(BadReference, match="64 lower-case"):
        site.pull("dummy.lab", sha256="zz")
    assert hub.downloads() == [], "the hub's word was enough"
    assert site.left() == []
    site.pull("dummy.lab", sha256=sha256)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_file_that_changes_on_its_way_is_refused(site: Site, hub: LocalHub, checkpoint: bytes, pinned: bool) -> None:
    sha256 = hub.put(REPO, FILE, checkpoint)
    hub.lies[checkpoint] = checkpoint[:-1] + bytes([checkpoint[-1] ^ 1])
    with pytest.raises(WrongFile):
        site.pull("dummy.lab", **({"sha256": sha256} if pinned else {}))
    assert site.registry.get("dummy.lab").weights is WeightsState.MISSING
    assert site.left() == []


def test_gated_repositories_say_where_to_accept(
    site: Site, hub: LocalHub, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(REPO, FILE, checkpoint)
    hub.gated.add(REPO)
    with pytest.raises(HubAccessDenied, match=rf"{hub.url}/{REPO}.*HF_TOKEN"):
        site.pull("dummy.lab")
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_account")
    with pytest.raises(HubAccessDenied, match="account of the token") as caught:
        site.pull("dummy.lab")
    assert "hf_of_another" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    site.pull("dummy.lab")
    assert [asked.authorization for asked in hub.downloads()] == [None], "the token is the hub's, not its storage's"
    folder = site.registry.folder
    assert folder is not None
    assert not any(TOKEN.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_is_not_there_is_named(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    with pytest.raises(HubAccessDenied, match="check its name"):
        site.pull("dummy.lab")
    hub.put(REPO, "other", checkpoint)
    with pytest.raises(NotOnHub, match=f"no file {FILE}"):
        site.pull("dummy.lab")
    with pytest.raises(NotOnHub, match="no revision v9"):
        site.pull(f"hf:{REPO}@v9:{FILE}", architecture="dummy")


def test_a_hub_that_is_away(registry: EncoderRegistry, free_address: str) -> None:
    with pytest.raises(HubUnreachable, match=r"cannot be reached.*encoders add"):
        Site(registry, HubAccess(free_address)).pull("dummy.lab")


@pytest.fixture
def free_address() -> str:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_offline_nobody_is_contacted(registry: EncoderRegistry, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put(REPO, FILE, checkpoint)
    with pytest.raises(HubOffline, match="encoders add"):
        Site(registry, HubAccess(hub.url, offline=True)).pull("dummy.lab")
    assert hub.asked == []


def test_any_checkpoint_of_the_hub(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put("Some.One/things", "a b.pt", checkpoint)
    hub.licences["Some.One/things"] = "mit"
    pulled = site.pull("hf:Some.One/things@v1:a b.pt", architecture="dummy")
    assert pulled.card.id == "Some.One.things.a-b"
    assert (pulled.card.licence, pulled.card.weights_digest) == ("mit", digest_of(checkpoint))
    assert pulled.card.source is not None
    assert pulled.card.source.repo == "Some.One/things"


def test_a_repository_of_data(site: Site, hub: LocalHub, checkpoint: bytes, card: EncoderCard) -> None:
    hub.put("datasets/lab/ct", "dummy.pt", checkpoint)
    site.pull("hf:datasets/lab/ct:dummy.pt", architecture="dummy", encoder_id="from.data")
    source = site.registry.get("from.data").source
    assert source is not None
    assert (source.repo, source.dataset) == ("lab/ct", True)


def test_the_architecture_must_be_told_where_the_file_does_not(site: Site, hub: LocalHub) -> None:
    hub.put(REPO, "odd.safetensors", save({"one.weight": torch.zeros(3, 400)}))
    with pytest.raises(UnknownArchitecture, match="--architecture"):
        site.pull(f"hf:{REPO}:odd.safetensors")
    assert site.left() == []


def test_a_file_that_does_not_fit_leaves_nothing(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put(REPO, FILE, save({"matrix": load(checkpoint)["matrix"][1:]}))
    with pytest.raises(CheckpointMismatch):
        site.pull("dummy.lab")
    assert site.left() == []
    assert site.registry.get("dummy.lab").weights is WeightsState.MISSING


def test_shards(site: Site, hub: LocalHub) -> None:
    tensors = load_encoder(EncoderRegistry().get("mambaout_femto.untrained")).weights()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in halves.items():
        hub.put(REPO, f"sub/{file}", save({key: tensors[key] for key in keys}))
    index = {"weight_map": {key: file for file, keys in halves.items() for key in keys}}
    hub.put(REPO, "sub/model.safetensors.index.json", json.dumps(index).encode())
    pulled = site.pull(
        f"hf:{REPO}:sub/model.safetensors.index.json", architecture="mambaout_femto", encoder_id="sharded"
    )
    assert pulled.card.weights_digest == weights_digest(tensors)
    assert site.left() == []
    last = hub.files[REPO]["sub/b.safetensors"]
    hub.lies[last] = last[:-1] + bytes([last[-1] ^ 1])
    with pytest.raises(WrongFile, match=r"b\.safetensors"):
        site.pull(f"hf:{REPO}:sub/model.safetensors.index.json", architecture="mambaout_femto", encoder_id="spoiled")
    assert site.left() == []
    index["weight_map"][names[0]] = "../../x"
    hub.put(REPO, "sub/model.safetensors.index.json", json.dumps(index).encode())
    with pytest.raises(UnsafeCheckpoint):
        site.pull(f"hf:{REPO}:sub/model.safetensors.index.json", architecture="mambaout_femto", encoder_id="hostile")


def test_a_full_disk_is_told_before_anything_comes(
    site: Site, hub: LocalHub, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(REPO, FILE, checkpoint)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(OSError, match="1000000 are free"):
        site.pull("dummy.lab")
    assert hub.downloads() == []
    assert site.left() == []


def test_one_process_at_a_time(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put(REPO, FILE, checkpoint)
    folder = site.registry.folder
    assert folder is not None
    folder.mkdir()
    named = hashlib.sha256(f"{REPO}\0{FILE}\0main".encode()).hexdigest()[:16]
    with FileLock(folder / f"{STAGING_PREFIX}{named}.lock"), pytest.raises(PullUnderWay):
        site.pull("dummy.lab")
    site.pull("dummy.lab")


def test_lost_weights_come_back_if_they_are_the_same(site: Site, hub: LocalHub, checkpoint: bytes) -> None:
    hub.put(REPO, FILE, checkpoint)
    site.pull("dummy.lab")
    folder = site.registry.folder
    assert folder is not None
    (folder / "dummy.lab" / "weights.safetensors").unlink()
    assert "gone" in verify_encoder(site.registry, "dummy.lab").detail
    changed = load(checkpoint)
    changed["matrix"] += 1
    (folder / "other").mkdir()
    hub.put(REPO, FILE, save(changed))
    with pytest.raises((EncoderExists, WrongFile)):
        site.pull("dummy.lab")
    hub.put(REPO, FILE, checkpoint)
    site.pull("dummy.lab")
    assert verify_encoder(site.registry, "dummy.lab").soundness is Soundness.SOUND


def test_an_unpublished_card_says_so(site: Site, card: EncoderCard) -> None:
    with pytest.raises(BadReference, match="encoders add"):
        site.plan("unpublished")
    with pytest.raises(BadReference, match="needs no weights"):
        site.plan("mambaout_femto.untrained")
    pinned = replace(card, source=replace(card.source, sha256="1" * 64)) if card.source else card
    registry = EncoderRegistry(site.registry.folder, known=(pinned,))
    with pytest.raises(BadReference, match="pins"):
        plan_pull(parse_reference(card.id), registry, site.access, sha256="2" * 64)


def test_windows_of_a_scan_encoder_are_refused_before_anything_comes(tmp_path: Path, hub: LocalHub) -> None:
    published = EncoderRegistry().get("merlin")
    registry = EncoderRegistry(tmp_path / "encoders", known=(published,))
    plan = plan_pull(parse_reference("merlin"), registry, HubAccess(hub.url))
    with pytest.raises(BadCard):
        pull(plan, registry, HubAccess(hub.url).open(), accepted=True, on_bytes=print, windows=("lung",))
    assert hub.asked == []
