import json
import multiprocessing
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicebank_models.errors import BadPretrainingSetting, BadSliceCache, SourceProblem
from slicebank_models.pretraining import cache_writing
from slicebank_models.pretraining.slice_cache import SliceCache, is_cache, write_cache
from slicebank_models.pretraining.slice_source import LesionBox, SourceSlice
from tests.models.pretraining.made_slices import ListSource, made_slices

SIDE = 24
# Five slices in a shard.
SHARD = 5 * SIDE * SIDE * 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "slices"
    write_cache([ListSource(made_slices())], folder, side=SIDE, shard_bytes=SHARD, request="asked")
    return folder


@pytest.fixture(scope="module")
def cache(folder: Path) -> SliceCache:
    return SliceCache(folder)


def test_a_cache_gives_back_what_its_sources_gave(cache: SliceCache) -> None:
    made = made_slices()
    assert len(cache) == len(made) == 12
    assert cache.side == SIDE
    np.testing.assert_array_equal(cache.read(np.arange(12)), np.stack([one.hu for one in made]))
    assert cache.positions.tolist() == [one.position for one in made]
    assert cache.labels.tolist() == [one.label for one in made]
    assert cache.series_names[cache.series].tolist() == [one.series for one in made]
    assert cache.patients.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert cache.n_boxes.tolist() == [len(one.boxes) for one in made]
    assert cache.annotated.tolist() == [bool(one.boxes) for one in made]
    assert cache.pixel_mm.tolist() == pytest.approx([0.75] * 12)
    assert cache.request == "asked"


def test_shards_are_no_larger_than_asked(folder: Path) -> None:
    sizes = [path.stat().st_size for path in sorted(folder.glob("*.i16"))]
    assert sizes == [SHARD, SHARD, 2 * SIDE * SIDE * 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=20))
def test_reads_of_any_order_and_over_shards_are_those_slices(cache: SliceCache, indices: list[int]) -> None:
    whole = np.stack([one.hu for one in made_slices()])
    np.testing.assert_array_equal(cache.read(np.array(indices, np.int64)), whole[indices])


def test_reading_into_memory_that_is_there(cache: SliceCache) -> None:
    out = np.zeros((3, SIDE, SIDE), np.int16)
    assert cache.read(np.array([4, 11, 5]), out) is out
    np.testing.assert_array_equal(out, cache.read(np.array([4, 11, 5])))


@pytest.mark.parametrize("index", [-1, 12])
def test_there_is_no_slice_beyond_the_ends(cache: SliceCache, index: int) -> None:
    with pytest.raises(IndexError):
        cache.read(np.array([0, index]))


def test_the_box_table_pads_with_zeros(cache: SliceCache) -> None:
    boxes, counts = cache.box_table(np.array([0, 2, 1]))
    assert counts.tolist() == [0, 2, 1]
    assert boxes.shape == (3, 2, 4)
    assert boxes.dtype == np.float32
    assert boxes[1].tolist() == [[1, 2, 9, 11.5], [2, 2, 10, 11.5]]
    assert boxes[2].tolist() == [[1, 2, 9, 11.5], [0, 0, 0, 0]]
    assert boxes[0].any() == False  # noqa: E712
    empty, none = cache.box_table(np.array([0, 0]))
    assert empty.shape == (2, 0, 4)
    assert none.tolist() == [0, 0]


def test_boxes_and_pixel_sizes_follow_pad_and_resize(tmp_path: Path) -> None:
    hu = np.full((16, 32), -1000, np.int16)
    one = SourceSlice(hu, "p", "s", 0, (LesionBox(4, 8, 8, 16),), pixel_mm=0.5)
    write_cache([ListSource([one])], tmp_path / "c", side=64)
    cache = SliceCache(tmp_path / "c")
    # 8 rows above, then twice the size.
    assert cache.boxes.tolist() == [[24, 16, 32, 32]]
    assert cache.pixel_mm.tolist() == [0.25]


def test_the_record_counts_every_source_and_patients_once(tmp_path: Path) -> None:
    twice = [ListSource(made_slices(), "first", ("A file.",)), ListSource(made_slices(2), "second")]
    report = write_cache(twice, tmp_path / "c", side=16)
    cache = SliceCache(tmp_path / "c")
    assert report.digest == cache.digest
    assert report.left_out == ("first: A file.",)
    assert (tmp_path / "c" / "left_out.txt").read_text() == "first: A file.\n"
    first, second = cache.record["sources"]
    assert first == {
        "name": "first", "patients": 4, "series": 4, "slices": 12, "annotated": 8, "boxes": 12, "clipped": 0, "left_out": 1
    }  # fmt: skip
    assert second["patients"] == 2
    assert cache.record["patients"] == 4
    assert cache.record["series"] == 6
    assert cache.record["slices"] == 18
    assert cache.record["labels"] == {"even": 12}


def test_boxes_beyond_the_picture_are_clipped_or_named(tmp_path: Path) -> None:
    hu = np.zeros((20, 20), np.int16)
    boxes = (
        LesionBox(-5, 3, 6, 25),
        LesionBox(30, 30, 40, 40),
        LesionBox(8, 8, 4, 9),
        LesionBox(float("nan"), 1, 2, 3),
        LesionBox(1, 2, 3, 4),
    )
    report = write_cache([ListSource([SourceSlice(hu, "p", "series A", 7, boxes)])], tmp_path / "c", side=20)
    assert SliceCache(tmp_path / "c").boxes.tolist() == [[0, 3, 6, 20], [1, 2, 3, 4]]
    assert report.sources[0].clipped == 1
    assert report.sources[0].left_out == 3
    assert len(report.left_out) == 3
    assert all("slice 7 of series A" in sentence for sentence in report.left_out)


def test_no_name_of_a_patient_is_kept(folder: Path) -> None:
    for path in folder.iterdir():
        assert b"patient 0" not in path.read_bytes()


def test_the_digest_is_that_of_what_is_in_it(tmp_path: Path) -> None:
    def digest(name: str, slices: list[SourceSlice], side: int = SIDE) -> str:
        return write_cache([ListSource(slices)], tmp_path / name, side=side).digest

    first = digest("a", made_slices())
    assert digest("b", made_slices()) == first
    assert digest("c", made_slices(seed=1)) != first
    assert digest("d", made_slices(), side=16) != first
    fewer = [
        SourceSlice(one.hu, one.patient, one.series, one.position, one.boxes[:1], one.label, one.pixel_mm)
        for one in made_slices()
    ]
    assert digest("e", fewer) != first


class Failing(ListSource):
    """Ends in the middle."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(made_slices())
        self._error = error

    def slices(self) -> Iterator[SourceSlice]:
        yield from self._slices[:7]
        raise self._error


@pytest.mark.parametrize("error", [SourceProblem("gone"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_cache_that_was_not_finished_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises((SourceProblem, BadSliceCache, KeyboardInterrupt)):
        write_cache([Failing(error)], tmp_path / "c", side=SIDE, shard_bytes=SHARD)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_no_cache_and_nothing_in_the_way(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from slicebank_models.pretraining.slice_cache import write_cache
        from tests.models.pretraining.made_slices import ListSource, made_slices
        class Killing(ListSource):
            def slices(self):
                yield from self._slices[:7]
                os.kill(os.getpid(), signal.SIGKILL)
        write_cache([Killing(made_slices())], Path({str(tmp_path / "c")!r}), side={SIDE}, shard_bytes={SHARD})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=Path(__file__).parents[3])
    assert not is_cache(tmp_path / "c")
    assert (tmp_path / ".c.partial").is_dir()
    write_cache([ListSource(made_slices(1))], tmp_path / "c", side=SIDE)
    assert len(SliceCache(tmp_path / "c")) == 3
    files = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert files == ["index.json", "left_out.txt", "slices-00000.i16", "slices.npz"]
    assert not (tmp_path / ".c.partial").exists()


def test_two_processes_do_not_write_one_cache(tmp_path: Path) -> None:
    class Twice(ListSource):
        def slices(self) -> Iterator[SourceSlice]:
            with pytest.raises(BadSliceCache, match="right now"):
                write_cache([ListSource(made_slices())], tmp_path / "c", side=SIDE)
            yield from self._slices

    write_cache([Twice(made_slices())], tmp_path / "c", side=SIDE)
    SliceCache(tmp_path / "c").verify()


@pytest.mark.parametrize("side", [0, 15, 5000])
def test_a_side_that_is_none_is_refused(tmp_path: Path, side: int) -> None:
    with pytest.raises(BadPretrainingSetting):
        write_cache([ListSource(made_slices())], tmp_path / "c", side=side)


def test_a_folder_that_is_taken_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadSliceCache, match="already"):
        write_cache([ListSource(made_slices())], folder)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadSliceCache, match="no slice cache"):
        write_cache([ListSource(made_slices())], tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 12 * SIDE * SIDE * 2 - 1})
    monkeypatch.setattr(cache_writing.shutil, "disk_usage", lambda _: free)
    with pytest.raises(BadSliceCache, match="smaller side"):
        write_cache([Failing(AssertionError())], tmp_path / "c", side=SIDE)


def test_no_slices_make_no_cache(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match=r"No slice was found\. made: It is empty\."):
        write_cache([ListSource([], left_out=("It is empty.",))], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def cut_shard(folder: Path) -> None:
    shard = folder / "slices-00001.i16"
    shard.write_bytes(shard.read_bytes()[:-1])


def lose_shard(folder: Path) -> None:
    (folder / "slices-00002.i16").unlink()


def spoil_index(folder: Path) -> None:
    (folder / "index.json").write_text('{"format": 1, "side": "wide"')


def empty_index(folder: Path) -> None:
    (folder / "index.json").write_text("[]")


def lack_in_index(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    del index["shards"][0]["sha256"]
    (folder / "index.json").write_text(json.dumps(index))


def newer_format(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"format": 2}))


def fewer_shards(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"shards": index["shards"][:-1]}))


def cut_tables(folder: Path) -> None:
    tables = folder / "slices.npz"
    tables.write_bytes(tables.read_bytes()[:500])


def lose_tables(folder: Path) -> None:
    (folder / "slices.npz").unlink()


def change_tables(folder: Path) -> None:
    with np.load(folder / "slices.npz") as file:
        tables = dict(file)
    tables["patients"] = tables["patients"][::-1].copy()
    np.savez(folder / "slices.npz", **tables)


def stray_series(folder: Path) -> None:
    with np.load(folder / "slices.npz") as file:
        tables = dict(file)
    tables["series"] = tables["series"] + np.int32(100)
    np.savez(folder / "slices.npz", **tables)


@pytest.mark.parametrize(
    "damage",
    [
        cut_shard,
        lose_shard,
        spoil_index,
        empty_index,
        lack_in_index,
        newer_format,
        fewer_shards,
        cut_tables,
        lose_tables,
        change_tables,
        stray_series,
    ],
)
def test_damage_is_told_when_a_cache_is_opened(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_cache([ListSource(made_slices())], tmp_path / "c", side=SIDE, shard_bytes=SHARD)
    SliceCache(tmp_path / "c")
    damage(tmp_path / "c")
    with pytest.raises(BadSliceCache):
        SliceCache(tmp_path / "c")


def test_no_cache_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadSliceCache, match="slicebank pretrain cache"):
        SliceCache(tmp_path)


def test_a_flipped_bit_is_found_by_verifying(tmp_path: Path) -> None:
    write_cache([ListSource(made_slices())], tmp_path / "c", side=SIDE, shard_bytes=SHARD)
    seen: list[tuple[int, int]] = []
    SliceCache(tmp_path / "c").verify(lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    shard = tmp_path / "c" / "slices-00001.i16"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(BadSliceCache, match="slices-00001"):
        SliceCache(tmp_path / "c").verify()


def read_sum(folder: str) -> int:
    cache = SliceCache(Path(folder))
    return int(cache.read(np.arange(len(cache))).astype(np.int64).sum())


def test_several_processes_read_one_cache(folder: Path, cache: SliceCache) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        sums = processes.map(read_sum, [str(folder)] * 2)
    assert sums == [read_sum(str(folder))] * 2


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(17, 40), st.integers(17, 40), st.integers(0, 3)), min_size=1, max_size=6))
def test_any_mixture_of_shapes_makes_a_sound_cache(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("mixed") / "c"
    slices = [
        SourceSlice(np.full((rows, columns), 10, np.int16), "p", "s", n, (LesionBox(1, 2, 5, 9),) * boxes)
        for n, (rows, columns, boxes) in enumerate(shapes)
    ]
    write_cache([ListSource(slices)], folder, side=32, shard_bytes=1)
    cache = SliceCache(folder)
    cache.verify()
    assert cache.n_boxes.tolist() == [boxes for _, _, boxes in shapes]
    assert (cache.boxes >= 0).all()
    assert (cache.boxes <= 32).all()


def test_caches_need_no_torch() -> None:
    modules = "slice_cache, splitting, squaring, cache_writing, slice_source"
    code = f"import sys; from slicebank_models.pretraining import {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
