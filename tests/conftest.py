"""What every room's tests share: the real CT folder, and the rule that CI never skips in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# A skip for any other reason fails the run where CI is set.
EXPECTED_SKIPS = ("SLICEBANK_TEST_DATA", "CUDA", "mount")


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """Root of the real CT folder, named by SLICEBANK_TEST_DATA (default: shared/data beside the checkout)."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("SLICEBANK_TEST_DATA", default))
    if not (root / "ct").is_dir():
        pytest.skip(f"real CT not found at {root}: set SLICEBANK_TEST_DATA to its folder")
    return root


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not os.environ.get("CI"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    reasons = [
        str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in skipped
    ]
    unexpected = [reason for reason in reasons if not any(word in reason for word in EXPECTED_SKIPS)]
    if unexpected and exitstatus == 0:
        print("\nskipped without an expected reason:", *unexpected, sep="\n  ")  # noqa: T201 - the run's own report
        session.exitstatus = 1
