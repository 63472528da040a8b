from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

import pydicom
import pytest

from tests.service.support import Api, MakeFiles, World, assert_problem, serving
from tests.service.upload_forms import changed, codes, post, tarred, zipped


def bad_files(good: bytes) -> dict[str, tuple[bytes, str]]:
    """File name -> (bytes, code it is refused with)."""
    pixels = good.index(pydicom.dcmread(io.BytesIO(good)).PixelData[:64])

    return {
        "notes.txt": (b"Dear colleague, please find attached the study.\n" * 10, "not_dicom"),
        "empty.dcm": (b"", "not_dicom"),
        "truncated.dcm": (good[: pixels + 100], "truncated_file"),
        "no-pixels.dcm": (changed(good, lambda data: data.__delitem__("PixelData")), "no_pixel_data"),
        "mr.dcm": (changed(good, lambda data: setattr(data, "Modality", "MR")), "not_ct"),
        "scout.dcm": (
            changed(good, lambda data: setattr(data, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])),
            "localizer",
        ),
    }


def wrong_syntax(good: bytes) -> bytes:
    """Raw pixels under a header that declares JPEG-LS."""
    data = pydicom.dcmread(io.BytesIO(good))
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    data["PixelData"].is_undefined_length = True
    data.PixelData = pydicom.encaps.encapsulate([data.PixelData])
    target = io.BytesIO()
    data.save_as(target)
    return target.getvalue()


def test_bad_files_are_named_and_the_good_part_is_kept(api: Api, world: World, make_files: MakeFiles) -> None:
    good = make_files()
    sample = next(iter(good.values()))
    bad = bad_files(sample)
    bad["wrong-syntax.dcm"] = (wrong_syntax(sample), "wrong_transfer_syntax")
    response = api.upload({**good, **{name: content for name, (content, _) in bad.items()}})
    assert response.status_code == 202
    answer = response.json()
    assert codes(answer) == {name: code for name, (_, code) in bad.items()}
    assert all(len(item["detail"]) > 10 for item in answer["rejected"])
    assert answer["series"][0]["n_slices"] == len(good)
    assert len(next(iter(world.staged().values()))) == len(good), "refused files leave staging at once"


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "empty.dcm", "truncated.dcm", "no-pixels.dcm", "mr.dcm", "scout.dcm", "wrong-syntax.dcm"],
)
def test_an_upload_without_anything_usable_is_refused(api: Api, world: World, make_files: MakeFiles, name: str) -> None:
    sample = next(iter(make_files().values()))
    bad = {**bad_files(sample), "wrong-syntax.dcm": (wrong_syntax(sample), "wrong_transfer_syntax")}
    content, code = bad[name]
    body = assert_problem(api.upload({name: content}), 422, "nothing_usable")
    assert [(item["name"], item["code"]) for item in body["rejected"]] == [(name, code)]
    assert world.staged() == {}
    assert world.queue.sent == []


def test_archives_keep_their_good_members(api: Api, make_files: MakeFiles) -> None:
    files = {**make_files(), "../../etc/passwd": b"x" * 200, "/absolute.dcm": b"x" * 200, "readme.txt": b"hello" * 50}
    for content, kind in ((zipped(files), "application/zip"), (tarred(files), "application/x-tar")):
        answer = post(api, content, kind).json()
        assert codes(answer) == {
            "../../etc/passwd": "unsafe_name",
            "/absolute.dcm": "unsafe_name",
            "readme.txt": "not_dicom",
        }
        assert answer["series"][0]["n_slices"] == 4


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (zipped({}), "application/zip", "empty_archive"),
        (b"PK\x03\x04 but not really", "application/zip", "bad_archive"),
        (b"no archive at all", "application/zip", "bad_archive"),
        (tarred({}), "application/x-tar", "empty_archive"),
        (b"\x1f\x8b broken", "application/gzip", "bad_archive"),
        (zipped({"../only.dcm": b"x"}), "application/zip", "unsafe_name"),
        (b"just text", "application/dicom", "not_dicom"),
    ],
)
def test_unusable_archives_say_why(api: Api, world: World, content: bytes, content_type: str, code: str) -> None:
    body = assert_problem(post(api, content, content_type), 422, "nothing_usable")
    assert [item["code"] for item in body["rejected"]] == [code]
    assert world.staged() == {}


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {"Content-Type": "application/zip"}, 400, "empty_body"),
        (b"", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "empty_body"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "malformed_upload"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=" + "x" * 300}, 400, "malformed_upload"),
        (b"no boundary here", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "malformed_upload"),
        (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc', {"Content-Type": "multipart/form-data; boundary=x"}, 400, "malformed_upload"),
        (b'--x\r\nContent-Disposition: form-data; name="encoder"\r\n\r\ndummy\r\n--x--\r\n', {"Content-Type": "multipart/form-data; boundary=x"}, 400, "malformed_upload"),
        (b"x", {"Content-Type": "image/png"}, 415, "unsupported_media_type"),
        (b"x", {"Content-Type": "application/zip; ; ;=" + "\\" * 40}, 422, "nothing_usable"),
        (b"x", {"Content-Type": "application/zip", "Content-Encoding": "br"}, 415, "unsupported_media_type"),
        (b"x", {"Content-Type": "application/zip", "Content-Digest": "sha-256=:AAAA:"}, 400, "digest_mismatch"),
        (b"x", {"Content-Type": "application/zip", "Content-Digest": "sha-256=:A:"}, 400, "digest_mismatch"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_upload(
    api: Api, world: World, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    assert_problem(api.post("/v1/series", content=content, headers=headers), status, code)
    assert world.staged() == {}


def test_a_form_without_files_has_nothing_usable(api: Api, world: World) -> None:
    body = b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert_problem(api.post("/v1/series", content=body, headers=headers), 422, "nothing_usable")
    assert world.staged() == {}


def test_a_promised_digest_is_checked(api: Api, make_files: MakeFiles) -> None:
    content = next(iter(make_files().values()))
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    response = post(api, content, "application/dicom", {"Content-Digest": f"sha-256=:{digest}:"})
    assert response.status_code == 202


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"encoder": "nobody"}, 404, "unknown_encoder"),
        ({"encoder": "../x"}, 422, "invalid_request"),
        ({"priority": "now"}, 422, "invalid_request"),
        ({"stack": "most"}, 422, "invalid_request"),
        ({"study_uid": "a b"}, 422, "invalid_request"),
        ({"patient": ""}, 422, "invalid_request"),
        ({"wait": -1}, 422, "invalid_request"),
        ({"wait": "nan"}, 422, "invalid_request"),
        ({"assume_rescale": "one"}, 422, "bad_option"),
        ({"force": "yes"}, 422, "bad_option"),
        ({"stack": 7}, 422, "nothing_usable"),
    ],
)
def test_queries_that_make_no_sense(
    api: Api, world: World, make_files: MakeFiles, query: dict[str, Any], status: int, code: str
) -> None:
    assert_problem(api.upload(make_files(), **query), status, code)
    assert world.staged() == {}


def test_limits(world: World, make_files: MakeFiles) -> None:
    files = make_files()
    with serving(world.app(max_upload_bytes=3000)) as api:
        assert_problem(api.upload(files), 413, "body_too_large")
    with serving(world.app(max_upload_files=3)) as api:
        assert_problem(api.upload(files), 413, "too_many_files")
        body = assert_problem(
            post(api, zipped({f"{i}": b"x" for i in range(4)}), "application/zip"), 422, "nothing_usable"
        )
        assert body["rejected"][-1] == {
            "name": "body",
            "code": "too_many_files",
            "detail": body["rejected"][-1]["detail"],
            "tag": None,
        }
    with serving(world.app(max_inflated_bytes=5000)) as api:
        answer = post(api, zipped({"first.dcm": b"x" * 10, "bomb": bytes(100_000)}), "application/zip").json()
        assert codes(answer) == {"first.dcm": "not_dicom", "body": "archive_too_large"}
    assert world.staged() == {}
