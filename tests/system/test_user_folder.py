"""What lies in the user's folder does not get into the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.conftest import start_service, stop_service, wait_until

pytestmark = pytest.mark.system


def test_a_module_of_the_users_own_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('this file is the user\\'s')\n")
    running = start_service(tmp_path / "data", folder=tmp_path)
    try:
        wait_until(lambda: "encoder_loaded" in running.log("embed"), "the worker to start")
    finally:
        stop_service(running)
