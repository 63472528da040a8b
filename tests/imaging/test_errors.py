from slicebank_imaging import errors


def _tree(root: type[errors.ImagingError]) -> list[type[errors.ImagingError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def test_every_error_has_its_own_code_and_stands_in_the_drawing() -> None:
    tree = _tree(errors.ImagingError)
    codes = [error.code for error in tree]
    assert len(set(codes)) == len(codes)
    for error in tree:
        assert error.__name__ in (errors.__doc__ or "")
        assert error.__doc__


def test_detail_is_the_sentence() -> None:
    assert errors.NotDicom("this is not a DICOM file").detail == "this is not a DICOM file"
