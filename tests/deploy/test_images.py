"""What the Dockerfiles promise, as far as it can be known without building them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.image import Image
from tests.deploy.installed import ROOT, hide_all_but, requirements

EXTRAS = {"slicebank-api": "service", "slicebank-worker": "worker"}


@pytest.mark.parametrize("name", ["api", "worker"])
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / "docker" / f"{name}.Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_runs_as_a_number_that_is_not_root(images: dict[str, Image], name: str) -> None:
    image = images[name]
    assert image.last("USER") == "10001:10001"
    assert "--uid 10001" in " ".join(arguments for _, arguments in image.steps)
    assert image.last("STOPSIGNAL") == "SIGTERM"
    assert image.environment["HOME"] == "/tmp"  # the only place that is written to beside the data
    assert not [key for key in image.environment if re.search("KEY$|PASSWORD|SECRET|TOKEN", key)]
    after = [word for word, _ in image.steps[[word for word, _ in image.steps].index("USER") :]]
    assert set(after) <= {"USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "RUN"}


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_an_image_installs_what_its_extra_asks_for(images: dict[str, Image], name: str, extra: str) -> None:
    (step,) = [arguments for word, arguments in images[name].build if word == "RUN" and "tomllib" in arguments]
    program = re.search(r'python -c "(.+?)" > requirements.txt', step)
    assert program is not None
    # sh turns nothing in these double quotes into anything else, and Docker has joined the lines.
    done = subprocess.run([sys.executable, "-c", program[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    asked = requirements(extra)
    if extra == "worker":
        asked += requirements("hf", base=False)  # encoders of transformers, such as rad_dino
    assert done.stdout.splitlines() == asked
    assert "-c constraints.txt -r requirements.txt" in step


@pytest.mark.parametrize("name", EXTRAS)
def test_the_builder_gets_every_package_and_nothing_private(images: dict[str, Image], name: str) -> None:
    copied = {source for word, rest in images[name].build if word == "COPY" for source in rest.split()[:-1]}
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {str(Path(package).parent) for package in targets["packages"]} <= copied
    assert all((ROOT / source).exists() for source in copied)
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in rules
    assert copied == {rule[1:] for rule in rules if rule.startswith("!")}


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_the_smoke_import_passes_with_that_extra_alone(
    images: dict[str, Image], name: str, extra: str, tmp_path: Path
) -> None:
    python, *arguments = images[name].smoke
    assert python == "python"
    environment = os.environ | hide_all_but(extra, tmp_path)
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Both ends of the promise: the API's environment has no torch, and the test would notice one.
    probe = "import importlib.util; print([n for n in ('torch', 'fastapi') if importlib.util.find_spec(n)])"
    found = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ("['fastapi']" if extra == "service" else "['torch']")
