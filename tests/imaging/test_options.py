import pytest

from slicebank_imaging.errors import BadOption
from slicebank_imaging.options import ImportOptions


def test_absent_options_are_the_default() -> None:
    assert ImportOptions.parse(None, None) == ImportOptions.parse("", "") == ImportOptions()


def test_both_options_are_read_and_shown() -> None:
    options = ImportOptions.parse("2.5,-1024", "not_hu")
    assert options == ImportOptions((2.5, -1024.0), force_not_hu=True)
    assert options.as_dict() == {"assume_rescale": [2.5, -1024.0], "force_not_hu": True}


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "0,0", "nan,0", "1,inf", ","])
def test_unusable_rescale_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="assume_rescale"):
        ImportOptions.parse(text, None)


def test_unknown_force_is_refused() -> None:
    with pytest.raises(BadOption, match="force=not_hu"):
        ImportOptions.parse(None, "everything")
