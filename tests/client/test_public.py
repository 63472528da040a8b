"""Every public name is exported, documented, and every error has a code and says what to do."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import slicebank
from slicebank import errors, records, resources
from slicebank.errors import SlicebankError

ERRORS = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, SlicebankError)]


def test_all_is_sorted_out() -> None:
    assert len(set(slicebank.__all__)) == len(slicebank.__all__)
    for name in slicebank.__all__:
        assert hasattr(slicebank, name)


@pytest.mark.parametrize("name", [name for name in slicebank.__all__ if not name.startswith("__")])
def test_public_names_are_documented(name: str) -> None:
    item = getattr(slicebank, name)
    doc = inspect.getdoc(item)
    assert doc
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize("name", resources.__all__)
def test_resource_methods_are_documented(name: str) -> None:
    for method_name, method in inspect.getmembers(getattr(resources, name), inspect.isfunction):
        if not method_name.startswith("_"):
            assert method.__doc__, f"{name}.{method_name}"


@pytest.mark.parametrize("error", ERRORS, ids=lambda item: item.__name__)
def test_errors_are_exported_and_coded(error: type[SlicebankError]) -> None:
    assert error.__name__ in slicebank.__all__
    assert error.__doc__
    assert "code" in vars(error)


def test_error_codes_are_distinct() -> None:
    codes = [error.code for error in ERRORS]
    assert len(set(codes)) == len(codes)


def test_errors_are_drawn_at_the_head() -> None:
    assert errors.__doc__ is not None
    for error in ERRORS:
        assert error.__name__ in errors.__doc__


def test_records_are_frozen_and_exported() -> None:
    for name in records.__all__:
        item = getattr(records, name)
        if inspect.isclass(item) and hasattr(item, "__dataclass_fields__"):
            assert item.__dataclass_params__.frozen, name
            assert name in slicebank.__all__


def test_the_package_is_typed() -> None:
    assert (Path(inspect.getfile(slicebank)).parent / "py.typed").exists()
