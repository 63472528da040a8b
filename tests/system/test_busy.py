"""A user sees which workers there are, what they did, and where a job's time went."""

from __future__ import annotations

from pathlib import Path

import pytest

from slicebank_imaging.phantom import PhantomSpec, make_phantom, write_dicom
from tests.system.conftest import start_service, stop_service, wait_until

pytestmark = pytest.mark.system

SERIES, SLICES, WINDOWS = 4, 12, 2


def test_two_embed_workers_share_the_work_and_say_so(tmp_path: Path) -> None:
    service = start_service(tmp_path / "data", SLICEBANK_EMBED_WORKERS="2", SLICEBANK_REPORT_SECONDS="0.2")
    client = service.client
    try:
        wait_until(lambda: len(list(client.workers.list())) == 4, "every worker to report")
        workers = list(client.workers.list())
        assert [worker.role for worker in workers] == ["embed", "embed", "predict", "train"]
        assert len({worker.name for worker in workers}) == 4
        jobs = []
        for seed in range(SERIES):
            spec = PhantomSpec(seed=seed, n_slices=SLICES, size=128, slice_spacing_mm=5.0)
            write_dicom(make_phantom(spec, []), tmp_path / str(seed))
            jobs += client.series.upload(tmp_path / str(seed), encoder="dummy").job_ids
        for job_id in jobs:
            job = client.jobs.wait(job_id)
            spent = job.stages
            assert set(spent) == {"decode_s", "transform_s", "decode_wait_s", "encode_s", "encode_wait_s", "write_s"}
            assert all(seconds >= 0 for seconds in spent.values())
            assert min(spent[name] for name in ("decode_s", "transform_s", "encode_s", "write_s")) > 0

        def rows_told() -> int:
            return sum(worker.rows_total for worker in client.workers.list())

        wait_until(lambda: rows_told() == SERIES * SLICES * WINDOWS, "the workers to tell all rows")
        for worker in client.workers.list():
            if worker.role == "embed":
                assert worker.device == "cpu"
                assert worker.utilisation is not None
                assert 0 <= worker.utilisation <= 1
    finally:
        stop_service(service)
