"""Bodies damaged in thousands of ways: every one gets an answer that is no crash, and staging is empty afterwards."""

from __future__ import annotations

import random
import time

import pytest

from slicebank_store.catalogue import Catalogue
from tests.service.support import ENCODER, Api, FakeWorker, MakeFiles, World
from tests.service.upload_forms import zipped

SEED = 5
ANSWERS = {200, 202, 400, 409, 413, 415, 422}
MOST_CPU_S = 5.0
_BOUNDARY = b"7d1b"
# What parsers of such bodies look at.
_WORDS = (
    b"\r\n--7d1b\r\n",
    b"\r\n--7d1b--",
    b"--7d1b",
    b"\r\n\r\n",
    b"\n\n",
    b"Content-Type: application/dicom\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b'Content-Disposition: form-data; name="files"; filename="a"\r\n',
    b"Content-Transfer-Encoding: base64\r\n",
    b"\0" * 70,
    b"\xff" * 5,
    b"PK\x05\x06" + bytes(18),
    b"PK\x01\x02",
)


def form(files: dict[str, bytes]) -> bytes:
    parts = (
        f'\r\n--7d1b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + content
        for name, content in files.items()
    )
    return b"".join(parts)[2:] + b"\r\n--7d1b--\r\n"


def related(files: dict[str, bytes]) -> bytes:
    parts = (b"\r\n--7d1b\r\nContent-Type: application/dicom\r\n\r\n" + content for content in files.values())
    return b"".join(parts) + b"\r\n--7d1b--"


def mutated(body: bytes, rng: random.Random) -> bytes:
    """One to four changes: bytes set, cut out, doubled, put in, swapped, or the end cut off."""
    data = bytearray(body)
    marks = [at for at in range(len(body)) if body.startswith((b"--7d1b", b"Content-", b"PK"), at)]
    for _ in range(rng.randint(1, 4)):
        # Half of them where a parser decides something.
        at = rng.choice(marks) if marks and rng.random() < 0.5 else rng.randrange(len(data) or 1)
        at = min(len(data), max(0, at + rng.randint(-4, 40)))
        size = rng.choice((1, 2, 8, 200))
        match rng.randrange(6):
            case 0:
                data[at : at + size] = rng.randbytes(min(size, max(0, len(data) - at)))
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = rng.choice(_WORDS)
            case 4:
                other = rng.randrange(len(data) or 1)
                data[at : at + size], data[other : other + size] = data[other : other + size], data[at : at + size]
            case _:
                del data[at:]
    return bytes(data)


def send_mutated(api: Api, files: dict[str, bytes], count: int, seed: int) -> None:
    kinds = (
        ("/v1/series", "multipart/form-data; boundary=7d1b", form(files)),
        ("/dicomweb/studies", 'multipart/related; type="application/dicom"; boundary="7d1b"', related(files)),
        ("/v1/series", "application/zip", zipped(files)),
    )
    for number in range(count):
        target, media_type, body = kinds[number % len(kinds)]
        rng = random.Random(f"{seed}/{number}")
        began = time.process_time()
        response = api.post(
            target, params={"encoder": ENCODER}, content=mutated(body, rng), headers={"Content-Type": media_type}
        )
        assert response.status_code in ANSWERS, (number, response.status_code, response.text[:500])
        assert time.process_time() - began < MOST_CPU_S, number


def end_jobs(catalogue: Catalogue, project: str) -> None:
    while items := catalogue.jobs.list(project, limit=1000).items:
        open_jobs = [job for job in items if not job.state.final]
        if not open_jobs:
            return
        for job in open_jobs:
            catalogue.jobs.request_cancel(project, job.job_id)


@pytest.mark.parametrize(
    "count", [pytest.param(150, id="short"), pytest.param(3000, id="long", marks=pytest.mark.slow)]
)
def test_no_damage_crashes_or_leaves_anything(
    api: Api, world: World, worker: FakeWorker, make_files: MakeFiles, count: int
) -> None:
    send_mutated(api, make_files(n_slices=3), count, SEED)
    end_jobs(world.catalogue, world.settings.project)
    needed = {job.staging for job in world.catalogue.jobs.list(world.settings.project, limit=1000).items}
    assert {name for name in world.staged() if not name.startswith(".")} <= needed
    world.staging.sweep(lambda: world.catalogue.jobs.staging_in_use(failed_within_s=0), older_than_s=0, now=2e12)
    assert world.staged() == {}
