from __future__ import annotations

import inspect
import re

from slicebank_store import errors


def error_classes() -> list[type[errors.StoreError]]:
    found = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    return [member for member in found if issubclass(member, errors.StoreError)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.__dict__["code"] for error in error_classes()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_the_tree_at_the_head_names_every_error() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[─ ]\s*([A-Z][A-Za-z]+)  ", errors.__doc__)) | {"StoreError"}
    assert drawn == {error.__name__ for error in error_classes()}


def test_the_sentence_is_the_message() -> None:
    error = errors.BlobMissing("Nothing there.")
    assert str(error) == error.detail == "Nothing there."
