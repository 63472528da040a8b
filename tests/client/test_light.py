"""The client must start fast and without the packages of a server."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "torch", "fastapi", "pydantic", "h5py", "pydicom", "sqlalchemy", "celery", "PIL", "matplotlib")
SERVER_ROOMS = ("slicebank_service", "slicebank_worker", "slicebank_store", "slicebank_models", "slicebank_imaging")

PROGRAM = """
import sys
{body}
print(",".join(name for name in {names!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    "body",
    [
        "import slicebank",
        "from slicebank.cli.app import build_app; build_app()",
        "import slicebank.demo, slicebank.doctor",
    ],
)
def test_imports_stay_light(body: str) -> None:
    program = PROGRAM.format(body=body, names=HEAVY + SERVER_ROOMS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_imports_no_plugin() -> None:
    body = (
        "from slicebank.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint('|', end='')"
    )
    program = PROGRAM.format(body=body, names=HEAVY + SERVER_ROOMS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.rpartition("|")[2].strip() == ""
    assert "serve" in done.stdout


def test_module_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "slicebank", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("slicebank ")
