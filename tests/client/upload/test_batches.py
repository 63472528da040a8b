"""Which files travel together: everything once, folders never split, requests of bounded size."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank.upload.batches import batches_of
from slicebank.upload.discover import Discovery, Folder, SourceFile


def file(name: str, size: int = 100) -> SourceFile:
    return SourceFile(Path("/nowhere") / name, name, size)


@st.composite
def trees(draw: st.DrawFn, name: str = "root", depth: int = 3) -> Folder:
    files = [
        file(f"{name}/f{index}", size) for index, size in enumerate(draw(st.lists(st.integers(1, 60), max_size=4)))
    ]
    count = draw(st.integers(0, 3)) if depth else 0
    return Folder(name, files, [draw(trees(f"{name}/d{index}", depth - 1)) for index in range(count)])


@settings(deadline=None, max_examples=150)
@given(tree=trees(), limit=st.integers(1, 200), most=st.integers(1, 10))
def test_every_file_once_and_no_folder_split(tree: Folder, limit: int, most: int) -> None:
    batches = batches_of(Discovery((tree,), (), ()), max_bytes=limit, max_files=most)
    sent = [item for batch in batches for item in batch.files]
    assert sorted(item.name for item in sent) == sorted(item.name for item in tree.walk())
    home = {item.name: number for number, batch in enumerate(batches) for item in batch.files}
    for item in sent:
        folder = item.name.rpartition("/")[0]
        assert {home[other.name] for other in sent if other.name.rpartition("/")[0] == folder} == {home[item.name]}
    for batch in batches:
        folders = {item.name.rpartition("/")[0] for item in batch.files}
        fits = sum(item.size for item in batch.files) <= limit and len(batch.files) <= most
        assert fits or len(folders) == 1


def test_a_small_cohort_is_one_request() -> None:
    root = Folder("root", [], [Folder("root/a", [file("root/a/1")]), Folder("root/b", [file("root/b/1")])])
    [batch] = batches_of(Discovery((root,), (), ()))
    assert len(batch.files) == 2
    assert not batch.as_it_is


def test_a_large_cohort_goes_study_by_study() -> None:
    studies = [
        Folder(f"root/s{n}", [], [Folder(f"root/s{n}/x", [file(f"root/s{n}/x/1", 400), file(f"root/s{n}/x/2", 400)])])
        for n in range(5)
    ]
    batches = batches_of(Discovery((Folder("root", [], studies),), (), ()), max_bytes=1000)
    assert [batch.name for batch in batches] == [f"root/s{n}" for n in range(5)]


def test_archives_are_requests_of_their_own() -> None:
    archives = (file("a.zip"), file("b.tar"), file("c.tar.gz"))
    batches = batches_of(Discovery((), archives, ()))
    assert [batch.content_type for batch in batches] == ["application/zip", "application/x-tar", "application/gzip"]
    assert all(batch.as_it_is and batch.body().length == 100 for batch in batches)


def test_volumes_are_requests_of_their_own() -> None:
    found = Discovery((), (file("a.tar.zst"),), (), (file("v.nii.gz"), file("w.nii")))
    assert [(batch.name, batch.content_type) for batch in batches_of(found)] == [
        ("v.nii.gz", "application/gzip"),
        ("w.nii", "application/x-nifti"),
        ("a.tar.zst", "application/zstd"),
    ]
