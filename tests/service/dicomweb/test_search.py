from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slicebank_store.pseudonyms import PatientPolicy, UidPolicy
from tests.service.support import Api, MakeFiles, World, assert_problem, make_world, serving

KEYWORDS = {
    "00080018": "SOPInstanceUID",
    "00080056": "InstanceAvailability",
    "00080060": "Modality",
    "00080061": "ModalitiesInStudy",
    "00100020": "PatientID",
    "00180015": "BodyPartExamined",
    "00180050": "SliceThickness",
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00200013": "InstanceNumber",
    "00201041": "SliceLocation",
    "00201206": "NumberOfStudyRelatedSeries",
    "00201208": "NumberOfStudyRelatedInstances",
    "00201209": "NumberOfSeriesRelatedInstances",
    "00280010": "Rows",
    "00280011": "Columns",
}


def find(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """Results with keywords for tags, and each element's only value."""
    response = api.get(f"/dicomweb/{path}", params=query)
    if response.status_code == 204:
        assert not response.content
        return []
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/dicom+json"
    return [{KEYWORDS[tag]: item["Value"][0] for tag, item in found.items()} for found in response.json()]


@pytest.fixture(scope="module")
def stocked(
    tmp_path_factory: pytest.TempPathFactory, empty_catalogue: Any, make_files: MakeFiles
) -> Iterator[tuple[Api, list[dict[str, Any]]]]:
    """Three studies of one series each; the first two are of one patient."""
    with make_world(tmp_path_factory.mktemp("qido") / "data", empty_catalogue) as world, serving(world.app()) as api:
        taken = [
            api.upload(make_files(seed, n_slices=3 + seed, patient_id=patient)).json()["series"][0]
            for seed, patient in ((1, "4711"), (2, "4711"), (3, "0815"))
        ]
        yield api, taken


def test_studies(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, taken = stocked
    found = find(api, "studies")
    assert [study["StudyInstanceUID"] for study in found] == sorted(series["study_uid"] for series in taken)
    (first,) = find(api, "studies", StudyInstanceUID=taken[0]["study_uid"])
    patient = api.get(f"/v1/series/{taken[0]['series_uid']}").json()["patient"]
    assert first == {
        "StudyInstanceUID": taken[0]["study_uid"],
        "PatientID": patient,
        "InstanceAvailability": "UNAVAILABLE",
        "ModalitiesInStudy": "CT",
        "NumberOfStudyRelatedSeries": 1,
        "NumberOfStudyRelatedInstances": 4,
    }


def test_series(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, taken = stocked
    found = find(api, "series")
    assert [(one["SeriesInstanceUID"], one["NumberOfSeriesRelatedInstances"]) for one in found] == [
        (series["series_uid"], series["n_slices"]) for series in taken
    ]
    assert {one["Modality"] for one in found} == {"CT"}
    assert find(api, f"studies/{taken[1]['study_uid']}/series") == [found[1]]
    assert find(api, f"studies/{taken[1]['study_uid']}/series", SeriesInstanceUID=taken[0]["series_uid"]) == []


def test_instances(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, taken = stocked
    study, series = taken[0]["study_uid"], taken[0]["series_uid"]
    found = find(api, f"studies/{study}/series/{series}/instances")
    assert found == find(api, f"studies/{study}/instances") == find(api, "instances", SeriesInstanceUID=series)
    assert len(found) == 4
    locations = [one["SliceLocation"] for one in found]
    assert locations == sorted(locations)
    assert {(one["Rows"], one["Columns"], one["StudyInstanceUID"]) for one in found} == {(32, 32, study)}
    assert {one["InstanceNumber"] for one in found} == {1, 2, 3, 4}
    wanted = found[2]["SOPInstanceUID"]
    assert find(api, "instances", SOPInstanceUID=wanted) == [found[2]]
    assert len(find(api, "instances")) == 4 + 5 + 6


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"PatientID": "4711"}, [0, 1]),
        ({"00100020": "4711"}, [0, 1]),
        ({"PatientID": "nobody"}, []),
        ({"PatientID": "*"}, [0, 1, 2]),
        ({"PatientID": ""}, [0, 1, 2]),
        ({"ModalitiesInStudy": "CT"}, [0, 1, 2]),
        ({"ModalitiesInStudy": "SR,ct"}, [0, 1, 2]),
        ({"ModalitiesInStudy": "C*"}, [0, 1, 2]),
        ({"00080060": "MR"}, []),
        ({"StudyInstanceUID": "{0},{2}"}, [0, 2]),
        ({"0020000d": "{0}\\{2}"}, [0, 2]),
        ({"StudyInstanceUID": "{0}", "PatientID": "0815"}, []),
        ({"BodyPartExamined": "nowhere"}, []),
    ],
)
def test_matching(stocked: tuple[Api, list[dict[str, Any]]], query: dict[str, str], matches: list[int]) -> None:
    api, taken = stocked
    studies = [series["study_uid"] for series in taken]
    query = {key: value.format(*studies) for key, value in query.items()}
    found = {study["StudyInstanceUID"] for study in find(api, "studies", **query)}
    assert found == {studies[index] for index in matches}
    assert {one["StudyInstanceUID"] for one in find(api, "series", **query)} == found


def test_the_pseudonym_finds_what_the_patient_id_does(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, _ = stocked
    found = find(api, "series", PatientID="4711")
    assert found == find(api, "series", PatientID=found[0]["PatientID"])
    assert "4711" not in str(found)


@pytest.mark.parametrize("path", ["studies", "series", "instances"])
def test_a_client_that_pages_until_nothing_comes(stocked: tuple[Api, list[dict[str, Any]]], path: str) -> None:
    api, _ = stocked
    pages: list[list[dict[str, Any]]] = []
    while not pages or pages[-1]:
        pages.append(find(api, path, limit=2, offset=sum(map(len, pages))))
    assert [one for page in pages for one in page] == find(api, path)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, None),
        ({"limit": "1"}, None),
        ({"includefield": "all"}, None),
        ({"includefield": "StudyInstanceUID,00100020"}, None),
        ({"fuzzymatching": "false"}, None),
        ({"fuzzymatching": "true"}, "fuzzymatching"),
        ({"includefield": "PatientName"}, "PatientName"),
        ({"StudyDate": "20260101-"}, "StudyDate"),
        ({"SOPInstanceUID": "1.2"}, "SOPInstanceUID"),
        ({'<x">': "1"}, "A parameter is not supported"),
        ({"PatientID": "47*"}, "Wildcards"),
    ],
)
def test_what_cannot_be_honoured_is_said(
    stocked: tuple[Api, list[dict[str, Any]]], query: dict[str, str], words: str | None
) -> None:
    api, _ = stocked
    warning = api.get("/dicomweb/studies", params=query).headers.get("warning")
    if words is None:
        assert warning is None
    else:
        assert warning is not None
        assert warning.startswith('299 slicebank "')
        assert words in warning


def test_values_are_never_repeated(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, _ = stocked
    response = api.get("/dicomweb/studies", params={"PatientName": "MUSTERMANN^ERIKA", "PatientID": "MUSTER*"})
    assert "MUSTER" not in str(response.headers) + response.text


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "x"},
        {"limit": "-1"},
        {"offset": "1e9"},
        {"offset": "9" * 30},
        {"StudyInstanceUID": "1.2 or 1=1"},
        {"SeriesInstanceUID": ",".join(f"1.{n}" for n in range(501))},
    ],
)
def test_values_that_cannot_be_read(empty_api: Api, query: dict[str, str]) -> None:
    assert_problem(empty_api.get("/dicomweb/studies", params=query), 400, "malformed_request")


def test_nothing_is_found_in_an_empty_catalogue(empty_api: Api) -> None:
    for path in ("studies", "series", "instances", "studies/1.2/series", "studies/1.2/series/1.3/instances"):
        assert find(empty_api, path) == []
        assert find(empty_api, path, limit=0) == []


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/dicom+json, application/json", ""])
def test_what_a_client_may_accept(stocked: tuple[Api, list[dict[str, Any]]], accept: str) -> None:
    api, _ = stocked
    response = api.get("/dicomweb/studies", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/dicom+json"


def test_what_is_not_given(stocked: tuple[Api, list[dict[str, Any]]]) -> None:
    api, _ = stocked
    response = api.get("/dicomweb/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert_problem(response, 406, "http_error")


@pytest.mark.parametrize(
    "path", ["1.2", "1.2/metadata", "1.2/series/1.3", "1.2/series/1.3/instances/1.4/frames/1", "1.2/rendered"]
)
def test_retrieving_is_not_offered(empty_api: Api, path: str) -> None:
    assert_problem(empty_api.get(f"/dicomweb/studies/{path}"), 501, "not_offered")


def test_policies(world: World, make_files: MakeFiles) -> None:
    app = world.app(uid_policy=UidPolicy.HASH, patient_policy=PatientPolicy.KEEP)
    with serving(app) as api:
        taken = api.upload(make_files(patient_id="4711")).json()["series"][0]
        own = str(find(api, "series", PatientID="4711"))
        (found,) = find(api, "studies", PatientID="4711")
        assert found["PatientID"] == "4711"
        assert found["StudyInstanceUID"] == taken["study_uid"]
        assert taken["study_uid"].startswith("2.25.")
        assert taken["study_uid"] in own
