from __future__ import annotations

from typing import cast

from fastapi import Request
from starlette.datastructures import State

from slicebank_service.waiting import wait_until_final
from tests.service.support import Api, MakeFiles


class GoneClient:
    def __init__(self) -> None:
        self.state = State()

    async def is_disconnected(self) -> bool:
        return True


def test_nobody_waits_for_a_client_that_has_gone(api: Api, make_files: MakeFiles) -> None:
    job_id = api.upload(make_files()).json()["series"][0]["job_id"]
    request = cast(Request, GoneClient())
    (job,) = api.call(lambda: wait_until_final(api.app.state.context, request, [job_id], 3600.0))
    assert job.job_id == job_id


def test_jobs_that_do_not_exist_are_not_waited_for(api: Api) -> None:
    request = cast(Request, GoneClient())
    assert api.call(lambda: wait_until_final(api.app.state.context, request, ["0" * 32], 3600.0)) == []
