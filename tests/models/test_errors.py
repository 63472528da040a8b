from slicebank_models import errors


def _tree(root: type[errors.ModelsError]) -> list[type[errors.ModelsError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def test_every_error_has_a_code_of_its_own_and_stands_in_the_drawing() -> None:
    tree = _tree(errors.ModelsError)
    codes = [error.code for error in tree]
    assert len(set(codes)) == len(codes)
    drawing = errors.__doc__ or ""
    assert all(error.__name__ in drawing for error in tree)
    leaves = [error for error in tree if not error.__subclasses__()]
    assert all(error.code in drawing for error in leaves)


def test_mismatch_names_what_differs() -> None:
    error = errors.CheckpointMismatch(("a.weight",), ("b.weight",), (("c.bias", (3,), (4,)),))
    assert error.missing == ("a.weight",)
    assert all(word in str(error) for word in ("a.weight", "b.weight", "c.bias", "(3,)", "(4,)"))
