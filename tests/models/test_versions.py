"""Versions of what is installed, and of nothing else."""

import platform
from importlib.metadata import version

from slicebank_models.versions import versions


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert versions("numpy", "no-such-package") == {"python": platform.python_version(), "numpy": version("numpy")}
