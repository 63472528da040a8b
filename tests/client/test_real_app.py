"""The SDK and the command line against the real API over real HTTP; only broker and workers are stood in for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import uvicorn

from slicebank import Client, JobState, PathNotFound, Task, errors
from slicebank.doctor.finding import State
from slicebank.doctor.server import examine_server
from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from slicebank_models.registry import DEFAULT_ENCODER, EncoderRegistry
from slicebank_store.catalogue import Catalogue
from tests.client.shell import Run
from tests.service.support import ENCODER, KEY, FakeWorker, World, make_world

SLOW_UPLOAD = """
import sys, time
from slicebank import Client
def slow(now):
    if now.sent_bytes > 1_500_000:
        time.sleep(0.05)
url, key, state, path, encoder = sys.argv[1:]
Client(url, key, state_dir=state).series.upload(path, encoder=encoder, resumable=True, on_progress=slow)
"""


@dataclass
class Running:
    client: Client
    worker: FakeWorker
    world: World
    url: str
    state_dir: Path


@contextmanager
def listening(world: World) -> Iterator[str]:
    config = uvicorn.Config(
        world.app(), host="127.0.0.1", port=0, log_config=None, ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """Keep the API's log off the stdout of the commands that run in this process."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
def running(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("app")
    Catalogue.create_or_upgrade(f"sqlite:///{root / 'empty.sqlite'}").close()
    with (
        make_world(root / "data", root / "empty.sqlite") as world,
        listening(world) as url,
        Client(url, KEY, timeout=20, state_dir=root / "state") as client,
    ):
        yield Running(client, FakeWorker(world), world, url, root / "state")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series in folders of their own, with junk beside them."""
    root = tmp_path_factory.mktemp("study") / "study"
    for seed in (1, 2):
        write_dicom(make_phantom(PhantomSpec(seed=seed, n_slices=3, size=32)), root / f"series {seed}")
    (root / "notes.txt").write_text("not sent")
    (root / "series 1" / "ünreadable").write_bytes(b"\x08\x00 could be DICOM by its first bytes" * 10)
    return root


def test_from_a_folder_to_a_bag(running: Running, study: Path, tmp_path: Path) -> None:
    client = running.client
    sent = client.series.upload(study, encoder=ENCODER, priority="bulk")
    assert [item.n_slices for item in sent] == [3, 3]
    assert [item.name for item in sent.rejected] == ["study/series 1/ünreadable"]
    assert [item.name for item in sent.skipped] == ["study/notes.txt"]
    assert all(item.state is JobState.QUEUED for item in sent)
    first = sent.series[0]
    assert first.job_id is not None
    assert first.bag_id is not None
    with pytest.raises(errors.NotReady) as caught:
        client.bags.get(first.bag_id)
    assert caught.value.job_id == first.job_id
    for job_id in sent.job_ids:
        running.worker.embed(job_id)
    jobs = client.jobs.wait_all(sent.job_ids)
    assert [job.result["bag_id"] for job in jobs] == list(sent.bag_ids)
    assert list(client.jobs.events(first.job_id))[-1].state is JobState.SUCCEEDED
    bag = client.bags.get(first.bag_id)
    arrays = client.bags.load(first.bag_id)
    assert arrays.features.shape == (bag.n_rows, bag.dim)
    assert arrays.sop_instance_uid
    assert arrays.slice_number.tolist() == [0, 1, 2]
    assert client.bags.download(first.bag_id, tmp_path, "npz").stat().st_size > 0
    again = client.series.upload(study, encoder=ENCODER)
    assert again.bag_ids == sent.bag_ids
    assert {item.state for item in again} == {JobState.SUCCEEDED}
    found = {item.series_uid: item for item in client.series.list()}
    assert found.keys() >= {item.series_uid for item in sent}
    assert client.series.get(first.series_uid).n_slices == 3
    assert first.bag_id in [item.bag_id for item in client.bags.list(series_uid=first.series_uid)]


def test_what_is_known_is_not_sent_again(running: Running, tmp_path: Path) -> None:
    client = running.client
    root = tmp_path / "again"
    write_dicom(make_phantom(PhantomSpec(seed=21, n_slices=3, size=32)), root)
    [first] = client.series.upload(root, encoder=ENCODER)
    assert not first.known
    [again] = client.series.upload(root, encoder=ENCODER)
    assert (again.known, again.bag_id, again.job_id) == (True, first.bag_id, first.job_id)
    [kept] = client.series.upload(root, encoder=ENCODER, retain=True)
    assert not kept.known, "its pixels are not kept"


def test_resumable_uploads_end_in_the_same_answer(running: Running, tmp_path: Path) -> None:
    client = running.client
    root = tmp_path / "resumable"
    write_dicom(make_phantom(PhantomSpec(seed=22, n_slices=3, size=32)), root)
    (root / "odd").write_bytes(b"\x08\x00 could be DICOM by its first bytes" * 10)
    sent = client.series.upload(root, encoder=ENCODER, resumable=True)
    assert [item.n_slices for item in sent] == [3]
    assert [(item.name, item.code) for item in sent.rejected] == [("resumable/odd", "not_dicom")]
    [again] = client.series.upload(root, encoder=ENCODER, resumable=True, check=False)
    assert (again.bag_id, again.known) == (sent.series[0].bag_id, False)
    with pytest.raises(errors.NothingUsable):
        client.series.upload(root / "odd", resumable=True)
    assert list((running.state_dir / "uploads").iterdir()) == []


def test_a_killed_upload_goes_on(running: Running, tmp_path: Path) -> None:
    root = tmp_path / "large"
    write_dicom(make_phantom(PhantomSpec(seed=23, n_slices=40, size=512)), root)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_UPLOAD, running.url, KEY, str(running.state_dir), str(root), ENCODER]
    )
    uploads = running.world.staging.root
    while process.poll() is None and not any(path.stat().st_size > 2_000_000 for path in uploads.rglob("body")):
        time.sleep(0.005)
    assert process.poll() is None
    process.kill()
    process.wait()
    offsets: list[int] = []
    sent = running.client.series.upload(
        root,
        encoder=ENCODER,
        resumable=True,
        on_progress=lambda now: offsets.append(now.sent_bytes) if not now.hashed_bytes else None,
    )
    assert [item.n_slices for item in sent] == [40]
    assert offsets[0] >= 2_000_000


def test_a_cohort(running: Running, tmp_path: Path) -> None:
    client = running.client
    for name, seed in (("a", 31), ("b", 32)):
        write_dicom(make_phantom(PhantomSpec(seed=seed, n_slices=2, size=32)), tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "1.dcm").write_bytes(b"nothing of use")
    client.series.upload(tmp_path / "a", encoder=ENCODER)
    (tmp_path / "cohort.csv").write_text("path,lesion\na,1\nb,0\nc,0\n")
    made = client.cohorts.submit(tmp_path / "cohort.csv", encoder=ENCODER)
    assert [(str(item.state), item.code) for item in made] == [("known", ""), ("sent", ""), ("refused", "not_dicom")]
    assert made.cohort.cases == 3
    assert made.cohort.progress.done == 1
    for outcome in made:
        for job_id in outcome.job_ids:
            running.worker.embed(job_id)
    cohort = client.cohorts.wait(made.cohort.group_id, timeout=20)
    assert cohort.finished
    assert [(item.case, item.code) for item in cohort.failures] == [(2, "nothing_usable")]
    again = client.cohorts.submit(tmp_path / "cohort.csv", encoder=ENCODER)
    assert again.cohort.group_id == made.cohort.group_id
    assert again.counts == {"done_before": 2, "refused": 1}
    assert made.cohort.group_id in [item.group_id for item in client.cohorts.list()]
    assert client.cohorts.cancel(made.cohort.group_id).finished
    assert client.cohorts.retry(made.cohort.group_id).cases == 3


def test_imports_name_a_source(running: Running) -> None:
    assert list(running.client.sources.list()) == []
    with pytest.raises(errors.NotFound) as caught:
        running.client.imports.create("pacs", study_uids=["1.2.3"], encoder=ENCODER, select={"min_images": 3})
    assert caught.value.code == "unknown_source"


def test_each_import_option_is_understood(running: Running, study: Path) -> None:
    sent = running.client.series.upload(
        study / "series 2",
        encoder=ENCODER,
        retain=True,
        stack="all",
        patient="somebody",
        study_uid="1.2.3",
        assume_rescale=(1.0, -1024.0),
        force="not_hu",
    )
    assert [item.study_uid for item in sent] == ["1.2.3"]


def test_nothing_usable(running: Running, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    with pytest.raises(errors.NothingUsable) as caught:
        running.client.series.upload(tmp_path / "a.dcm")
    assert [item.code for item in caught.value.rejected] == ["not_dicom"]


def test_encoders_say_which_is_untrained(running: Running) -> None:
    cards = list(running.client.encoders.list())
    assert cards[0].default
    assert cards[0].untrained is not EncoderRegistry().get(DEFAULT_ENCODER).trained
    assert running.client.encoders.get("mambaout_femto.untrained").untrained
    assert not running.client.encoders.get(ENCODER).untrained
    findings = {item.name: item.state for item in examine_server(running.url, KEY, None)}
    assert findings["key"] is State.OK
    assert findings["default encoder"] is (State.WARN if cards[0].untrained else State.OK)


def test_refusals_keep_their_codes(running: Running, study: Path) -> None:
    client = running.client
    with pytest.raises(errors.NotFound) as unknown:
        client.series.upload(study / "series 1", encoder="nonesuch")
    assert unknown.value.code == "unknown_encoder"
    with pytest.raises(errors.InvalidRequest) as training:
        client.heads.train("h", ENCODER, Task("binary", ("a",)), {"1.2": 1, "1.3": 0}, {"learning_rate": 1})
    assert training.value.code == "unknown_training_key"
    with pytest.raises(errors.InvalidRequest) as labels:
        client.heads.train("h", ENCODER, Task("binary", ("a",)), {"1.2": 1, "1.3": 0})
    assert labels.value.code == "no_label_matches"
    for missing in (client.jobs.get, client.bags.get, client.heads.get, client.predictions.get, client.series.get):
        with pytest.raises(errors.NotFound) as caught:
            missing("0" * 32)
        assert caught.value.request_id
    with pytest.raises(PathNotFound):
        client.series.upload(study / "nowhere")
    with Client(running.url, "wrong") as stranger, pytest.raises(errors.NotAuthorised):
        list(stranger.series.list())


def test_cancel_retry_delete(running: Running, tmp_path: Path) -> None:
    client = running.client
    write_dicom(make_phantom(PhantomSpec(seed=7, n_slices=2, size=32)), tmp_path)
    [item] = client.series.upload(tmp_path, encoder=ENCODER)
    assert item.job_id is not None
    assert client.jobs.cancel(item.job_id).state is JobState.CANCELLED
    with pytest.raises(errors.JobCancelled):
        client.jobs.wait(item.job_id)
    client.series.delete(item.series_uid)
    client.series.delete(item.series_uid)
    with pytest.raises(errors.NotFound):
        client.series.get(item.series_uid)


def test_the_command_line_too(running: Running, study: Path, shell: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "client.json").write_text(json.dumps({"url": running.url, "api_key": KEY}))
    run = shell("--data-dir", tmp_path, "upload", study / "series 1", "--encoder", ENCODER, "--no-wait", "--json")
    assert run.json["series"][0]["n_slices"] == 3
    uid = run.json["series"][0]["series_uid"]
    assert uid in shell("series", "list", "--data-dir", tmp_path).out
    assert uid in shell("series", "show", uid, "--data-dir", tmp_path).out
    assert "UNTRAINED" in shell("encoders", "list", "--data-dir", tmp_path).out
    for noun in ("jobs", "bags", "heads"):
        assert shell(noun, "list", "--data-dir", tmp_path).status == 0
