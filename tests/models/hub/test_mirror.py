"""Pulls from a folder that mirrors repositories, with and without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from slicebank_models.errors import NotOnHub
from slicebank_models.hub.access import HubAccess
from slicebank_models.registry import EncoderRegistry
from tests.models.hub.conftest import FILE, REPO
from tests.models.hub.local_hub import COMMIT
from tests.models.hub.site import Site


@pytest.mark.parametrize("layout", ["plain", "cache"])
@pytest.mark.parametrize("offline", [False, True])
def test_a_folder_that_mirrors(
    registry: EncoderRegistry, checkpoint: bytes, tmp_path: Path, layout: str, offline: bool
) -> None:
    root = tmp_path / "mirror"
    if layout == "plain":
        file = root / REPO / FILE
        file.parent.mkdir(parents=True)
        file.write_bytes(checkpoint)
    else:
        cached = root / f"models--{REPO.replace('/', '--')}"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text(COMMIT)
        file = cached / "snapshots" / COMMIT / FILE
        file.parent.mkdir(parents=True)
        (cached / "blobs").mkdir()
        (cached / "blobs" / "1").write_bytes(checkpoint)
        file.symlink_to("../../../blobs/1")
    site = Site(registry, HubAccess(f"file://{root}" if offline else str(root), offline=offline))
    card = site.pull("dummy.lab", sha256=hashlib.sha256(checkpoint).hexdigest()).card
    assert card.source is not None
    assert card.source.revision == ("main" if layout == "plain" else COMMIT)


def test_a_mirror_says_where_the_file_belongs(registry: EncoderRegistry, tmp_path: Path) -> None:
    site = Site(registry, HubAccess(str(tmp_path)))
    with pytest.raises(NotOnHub, match=f"{tmp_path}/{REPO}"):
        site.pull("dummy.lab")
    (tmp_path / REPO).mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / REPO / "weights").mkdir()
    (tmp_path / REPO / FILE).symlink_to("../../../secret")
    with pytest.raises(NotOnHub, match=FILE):
        site.pull("dummy.lab")
