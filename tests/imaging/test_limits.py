import pickle
from pathlib import Path

import pytest

from slicebank_imaging.errors import ImagingError, TooManyPixels
from slicebank_imaging.grouping import group_series
from slicebank_imaging.headers import read_file_header
from slicebank_imaging.limits import IntakeLimits
from slicebank_imaging.options import ImportOptions
from tests.imaging.making import ct_dataset, read, write


def test_a_file_of_too_many_pixels_names_what_makes_it_large(tmp_path: Path) -> None:
    one = write(tmp_path / "1", ct_dataset())
    four = write(tmp_path / "4", ct_dataset(NumberOfFrames=4, PixelData=bytes(4 * 160)))
    options = ImportOptions()
    for path, limit, tag in ((one, 79, "(0028,0010) Rows"), (four, 319, "(0028,0008) NumberOfFrames")):
        read_file_header(path, file="1", name="1", options=options, limits=IntakeLimits(max_pixels=limit + 1))
        with pytest.raises(TooManyPixels) as refused:
            read_file_header(path, file="1", name="1", options=options, limits=IntakeLimits(max_pixels=limit))
        assert refused.value.tag == tag
        assert str(limit) in refused.value.detail


def test_a_series_of_too_many_slices_is_refused_whole_and_others_are_not(tmp_path: Path) -> None:
    headers = [read(write(tmp_path / str(number), ct_dataset(number))) for number in range(4)]
    other = ct_dataset(9, SeriesInstanceUID="1.2.3.99")
    headers.append(read(write(tmp_path / "9", other)))
    assert len(group_series(headers, ImportOptions(), IntakeLimits(max_slices=4)).series) == 2
    grouping = group_series(headers, ImportOptions(), IntakeLimits(max_slices=3))
    assert [series.series_uid for series in grouping.series] == ["1.2.3.99"]
    (verdict,) = grouping.refused_series
    assert (verdict.series_uid, verdict.code, verdict.n_files, verdict.tag) == ("1.2.3.2", "too_many_slices", 4, None)
    assert [(item.file, item.code) for item in grouping.refused] == [(str(n), "too_many_slices") for n in range(4)]


@pytest.mark.parametrize("error", [ImagingError("sentence"), TooManyPixels("sentence", tag="(0028,0010) Rows")])
def test_errors_travel_between_processes(error: ImagingError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.detail, copy.tag) == (type(error), error.detail, error.tag)
