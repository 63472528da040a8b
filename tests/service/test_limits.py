"""Every limit of one upload: a clear refusal, the rest taken in, and nothing left in staging."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from tests.service.support import MakeFiles, World, assert_problem, serving
from tests.service.upload_forms import codes, post, zipped
from tests.service.uploads.tus import add, begun

ZIP = "application/zip"


def nested(depth: int, files: dict[str, bytes]) -> bytes:
    content = zipped(files)
    for level in range(depth - 1):
        content = zipped({f"level{level}.zip": content})
    return content


@pytest.mark.parametrize("way", ["at once", "resumable"])
@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_upload_files": 3}, "too_many_files"),
        ({"max_inflated_bytes": 5000}, "archive_too_large"),
        ({"max_archive_depth": 1}, "nested_too_deep"),
        ({"max_file_pixels": 1000}, "too_many_pixels"),
        ({"max_series_slices": 3}, "too_many_slices"),
    ],
)
def test_an_upload_beyond_a_limit_is_refused_by_name(
    world: World, make_files: MakeFiles, limit: dict[str, int], code: str, way: str
) -> None:
    content = nested(2, make_files())
    with serving(world.app(**limit)) as api:
        if way == "at once":
            response = post(api, content, ZIP)
        else:
            response = add(api, location := begun(api, len(content)), 0, content)
        body = assert_problem(response, 422, "nothing_usable")
        said = {item["code"] for item in [*body["rejected"], *body["refused_series"]]}
        assert code in said, body
        if way == "resumable":
            api.delete(location, headers={"Tus-Resumable": "1.0.0"})
    assert world.staged() == {}
    assert world.queue.sent == []


def test_a_bomb_is_refused_by_its_ratio(world: World, make_files: MakeFiles) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in make_files().items():
            archive.writestr(name, content, compress_type=zipfile.ZIP_STORED)
        archive.writestr("bomb", bytes(80_000_000))
    with serving(world.app(max_archive_ratio=20.0)) as api:
        response = post(api, target.getvalue(), ZIP)
        answer: dict[str, Any] = response.json()
        assert response.status_code == 202, answer
        assert "archive_too_large" in codes(answer).values()
        assert answer["series"][0]["n_slices"] == 4, "what came before is taken in"


def test_nesting_within_the_limit_is_opened(world: World, make_files: MakeFiles) -> None:
    with serving(world.app()) as api:
        assert post(api, nested(3, make_files()), ZIP).json()["series"][0]["n_slices"] == 4
        body = assert_problem(post(api, nested(4, make_files(1)), ZIP), 422, "nothing_usable")
        assert {item["code"] for item in body["rejected"]} == {"nested_too_deep"}
