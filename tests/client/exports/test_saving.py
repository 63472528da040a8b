"""Exports over real HTTP into real folders."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from slicebank import Client, InputError, errors
from slicebank.errors import ChecksumMismatch, ConnectionFailed
from slicebank.exports.archive import Member
from slicebank.exports.folder import JOURNAL, ExportFolder
from slicebank_imaging.phantom import PhantomHeader, PhantomSpec, make_phantom, write_dicom
from slicebank_store.catalogue import BagRecord, Catalogue
from tests.client.shell import Run
from tests.client.test_real_app import listening
from tests.service.support import ENCODER, KEY, FakeWorker, make_world


@dataclass
class Running:
    client: Client
    url: str
    bags: list[BagRecord]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    root = tmp_path_factory.mktemp("app")
    Catalogue.create_or_upgrade(f"sqlite:///{root / 'empty.sqlite'}").close()
    with (
        make_world(root / "data", root / "empty.sqlite") as world,
        listening(world) as url,
        Client(url, KEY, timeout=20, state_dir=root / "state") as client,
    ):
        worker = FakeWorker(world)
        bags = []
        for seed in range(4):
            folder = root / f"series {seed}"
            write_dicom(
                make_phantom(PhantomSpec(seed=seed, n_slices=3, size=32)),
                folder,
                header=PhantomHeader(patient_id=f"P{seed}"),
            )
            (sent,) = client.series.upload(folder, encoder=ENCODER)
            bags.append(worker.embed(sent.job_id or ""))
        yield Running(client, url, bags)
    structlog.configure(**before)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def check_sums(root: Path) -> None:
    found = files(root)
    listed = dict(reversed(line.split("  ")) for line in found.pop("SHA256SUMS").decode().splitlines())  # type: ignore[misc]
    del found[JOURNAL]
    assert {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} == listed


@pytest.mark.parametrize("layout", ["stamp", "trident", "clam", "clear", "parquet"])
def test_a_folder_of_every_layout(running: Running, tmp_path: Path, layout: str) -> None:
    seen = []
    made = running.client.exports.save(layout, tmp_path / "out", encoder=ENCODER, on_progress=seen.append)  # type: ignore[arg-type]
    assert (made.n_bags, made.n_sent, made.n_unmatched, made.left_out) == (4, 4, 0, ())
    assert (seen[-1].done, seen[-1].total) == (4, 4)
    check_sums(tmp_path / "out")
    assert not [name for name in files(tmp_path / "out") if name.endswith(".part")]


def test_a_second_time_nothing_is_sent_and_labels_may_change(running: Running, tmp_path: Path) -> None:
    client, out = running.client, tmp_path / "out"
    uids = [bag.series_uid for bag in running.bags]
    assert client.exports.save("clam", out, encoder=ENCODER, labels=dict.fromkeys(uids[:3], 1)).n_sent == 3
    before = files(out)
    again = client.exports.save("clam", out, encoder=ENCODER, labels={uid: at % 2 for at, uid in enumerate(uids[1:])})
    assert (again.n_bags, again.n_sent) == (3, 1)
    after = files(out)
    assert f"pt_files/{uids[0]}.pt" not in after, "a bag that is not of the cohort any more"
    assert f"h5_files/{uids[0]}.h5" not in after
    same = f"h5_files/{uids[1]}.h5"
    assert before[same] == after[same]
    rows = list(csv.DictReader(after["dataset.csv"].decode().splitlines()))
    assert [row["label"] for row in sorted(rows, key=lambda row: uids.index(row["slide_id"]))] == ["0", "1", "0"]
    check_sums(out)


def test_an_interrupted_export_goes_on(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, out = running.client, tmp_path / "out"
    take, taken = ExportFolder.take, []

    def breaking(self: ExportFolder, member: Member) -> None:
        if len(taken) == 3:
            taken.append("broken")
            raise ConnectionFailed("The connection broke.", reached=True)
        taken.append(member.name)
        take(self, member)

    monkeypatch.setattr(ExportFolder, "take", breaking)
    made = client.exports.save("clam", out, encoder=ENCODER)
    # One bag of two files was whole, and one of the second bag's two: the second is sent again.
    assert (made.n_bags, made.n_sent) == (4, 3)
    check_sums(out)


def test_a_killed_export_leaves_no_half_file_and_goes_on(running: Running, tmp_path: Path) -> None:
    client, out = running.client, tmp_path / "out"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.exports.save("stamp", out, encoder=ENCODER, on_progress=stop)
    assert [name.endswith(".h5") for name in files(out)] == [False, True]
    half = out / "features" / ENCODER / ".cut.h5.part"
    half.write_bytes(b"half")
    with (out / JOURNAL).open("a") as journal:
        journal.write("0123 cut")
    made = client.exports.save("stamp", out, encoder=ENCODER)
    assert (made.n_bags, made.n_sent) == (4, 3)
    assert not half.exists()
    check_sums(out)


def test_a_file_that_was_changed_since_is_fetched_again(running: Running, tmp_path: Path) -> None:
    client, out = running.client, tmp_path / "out"
    client.exports.save("trident", out, encoder=ENCODER)
    victim = next(out.rglob("*.h5"))
    victim.write_bytes(b"short")
    assert client.exports.save("trident", out, encoder=ENCODER).n_sent == 1
    check_sums(out)


def test_a_damaged_file_is_named_and_goes(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, out = running.client, tmp_path / "out"
    blocks = Member.blocks

    def flipped(self: Member) -> Iterator[bytes]:
        for block in blocks(self):
            yield (
                block[:-1] + bytes([block[-1] ^ 1]) if self.name.endswith(f"{running.bags[0].series_uid}.h5") else block
            )

    with monkeypatch.context() as patched:
        patched.setattr(Member, "blocks", flipped)
        with pytest.raises(ChecksumMismatch, match=running.bags[0].series_uid):
            client.exports.save("trident", out, encoder=ENCODER)
    assert not list(out.rglob(f"{running.bags[0].series_uid}.h5"))
    assert client.exports.save("trident", out, encoder=ENCODER).n_sent == 1
    check_sums(out)


def test_one_bag_in_every_form(running: Running, tmp_path: Path) -> None:
    bag = running.bags[0]
    for kind in ("h5", "npz", "pt", "parquet"):
        path = running.client.bags.download(bag.bag_id, tmp_path, kind)  # type: ignore[arg-type]
        assert (path.name, path.stat().st_size > 100) == (f"{bag.bag_id}.{kind}", True)


def test_folders_that_hold_something_else(running: Running, tmp_path: Path) -> None:
    client, out = running.client, tmp_path / "out"
    client.exports.save("trident", out, encoder=ENCODER)
    before = files(out)
    for layout, thumbnails in (("stamp", False), ("trident", True)):
        with pytest.raises(InputError, match="another export"):
            client.exports.save(layout, out, encoder=ENCODER, thumbnails=thumbnails)  # type: ignore[arg-type]
    assert files(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.h5").write_bytes(b"")
    with pytest.raises(InputError, match="not empty"):
        client.exports.save("stamp", tmp_path / "mine", encoder=ENCODER)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        client.exports.save("stamp", tmp_path / "file", encoder=ENCODER)
    with pytest.raises(errors.InvalidRequest) as caught:
        client.exports.save("stamp", tmp_path / "new", encoder="dummy")
    assert caught.value.code == "nothing_to_export"


def test_the_command(running: Running, shell: Callable[..., Run], tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("patient,stage\nP0,I\nP1,II\nP9,II\n")
    ask = ("--url", running.url, "--api-key", KEY, "export", str(tmp_path / "out"), "--layout", "stamp")
    first = shell(*ask, "--encoder", ENCODER, "--labels", str(labels))
    assert first.status == 0, first.err
    assert "2 bags" in first.out
    assert "1 rows of the labels have no bag" in first.err
    again = shell(*ask, "--encoder", ENCODER, "--labels", str(labels), "--json")
    assert json.loads(again.out)["n_sent"] == 0
    refused = shell(*ask, "--encoder", ENCODER, "--labels", str(labels), "--strict")
    assert (refused.status, "P9" in refused.out + refused.err or "1 rows" in refused.err) == (1, True)
