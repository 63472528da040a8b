"""An environment as `pip install slicebank[extra]` would make it, out of this one: everything else is hidden from imports."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]

_HIDING = """
import sys
from importlib.machinery import PathFinder

HIDDEN = frozenset({hidden!r})

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in HIDDEN else super().find_spec(fullname, path, target)

sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""


def requirements(extra: str, *, base: bool = True) -> list[str]:
    """What pyproject.toml asks for: the base, if wanted, and one extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*(project["dependencies"] if base else ()), *project["optional-dependencies"][extra]]


def hide_all_but(extra: str, folder: Path) -> dict[str, str]:
    """Variables under which Python finds no package but those that `slicebank[extra]` brings.

    Args:
        extra: service or worker.
        folder: empty; takes the module that hides the others.
    """
    wanted = _closure(requirements(extra))
    hidden = sorted(
        module
        for module, distributions in packages_distributions().items()
        if not module.startswith(("slicebank", "_")) and not {_normal(name) for name in distributions} & wanted
    )
    (folder / "sitecustomize.py").write_text(_HIDING.format(hidden=hidden))
    return {"PYTHONPATH": str(folder)}


def _closure(asked: list[str]) -> set[str]:
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in asked]
    while waiting:
        requirement, under = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": under}):
            continue
        name = _normal(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                waiting += [(Requirement(text), extra) for text in requires(name) or []]
            except PackageNotFoundError:  # not for this platform
                continue
    return {name for name, _ in found}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
