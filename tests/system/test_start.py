"""What a service says while it starts."""

from __future__ import annotations

import pytest

from slicebank_service.serving.supervisor import WORKERS
from tests.system.conftest import Service, wait_until

pytestmark = pytest.mark.system


@pytest.mark.parametrize("role", WORKERS)
def test_every_worker_says_when_it_is_ready(service: Service, role: str) -> None:
    wait_until(lambda: '"event": "worker_ready"' in service.log(role), f"the {role} worker")
