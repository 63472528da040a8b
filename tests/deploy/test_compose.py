"""What the compose file promises, as far as it can be known without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slicebank_worker.runtime import Role
from tests.deploy.image import Image
from tests.deploy.installed import ROOT
from tests.deploy.settings_known import unknown

SECRETS = {"SLICEBANK_API_KEY", "POSTGRES_PASSWORD", "BROKER_PASSWORD"}
WORKERS = {"worker-gpu": "embed", "worker-cpu": "embed", "trainer": "train", "predict": "predict"}


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if service["image"].startswith("slicebank-")}


def test_the_file_is_a_compose_file() -> None:
    check = Path(sys.executable).with_name("check-jsonschema")
    command = [check, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_service_asked_for_is_there_and_started_by_a_command_that_exists(
    services: dict[str, dict[str, Any]],
) -> None:
    assert set(ours(services)) == {"migrate", "api", "listener", *WORKERS}
    assert {"postgres", "broker", "s3", "prometheus", "grafana"} <= set(services)
    for name, role in WORKERS.items():
        assert services[name]["command"] == [Role(role).value]
        assert "entrypoint" not in services[name]  # the image's own, which test_processes.py runs
    program, *words = services["migrate"]["entrypoint"]
    command = [Path(sys.executable).with_name(program), *words, "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_every_setting_is_one_that_its_process_reads(
    services: dict[str, dict[str, Any]], images: dict[str, Image]
) -> None:
    for name, service in ours(services).items():
        image = service["image"].partition(":")[0]
        assert unknown(image, set(service["environment"])) == set(), name
    for name, image in images.items():
        assert unknown(name, set(image.environment)) == set()


def test_secrets_have_no_default_and_say_what_to_do(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = re.findall(r"(?<!\$)\$\{(\w+)(:?[-?])?([^}]*)\}", text)
    for name, operator, rest in used:
        if name in SECRETS:
            assert (operator, rest) == (":?", f"set {name} in .env, see .env.example")
        if (
            re.search("KEY|PASSWORD|SECRET", name) and name not in SECRETS
        ):  # of a profile: refused by the service itself
            assert (operator, rest) == (":-", "")
            assert re.search(rf"\$\$\{{\w+:\?set {name} in \.env\}}", text), name
    assert {name for name, *_ in used} >= SECRETS
    assert compose["secrets"] == {"api_key": {"environment": "SLICEBANK_API_KEY"}}


def test_the_example_explains_every_variable_and_sets_no_secret(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    environments = (service.get("environment", {}) for service in compose["services"].values())
    passed_on = {name for values in environments for name, value in values.items() if value is None}
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | passed_on | {"COMPOSE_PROFILES"}
    example = (ROOT / ".env.example").read_text()
    lines = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", example, re.M))
    assert set(lines) == wanted
    assert not [name for name, value in lines.items() if value and re.search("KEY|PASSWORD|SECRET", name)]
    # Each variable, or the block that it stands in, has its comment above.
    assert all(block.lstrip().startswith("# ") for block in example.split("\n\n") if "=" in block)


def test_only_the_api_is_open_and_only_to_this_machine_unless_told(services: dict[str, dict[str, Any]]) -> None:
    opened = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(opened) == {"api", "listener", "grafana"}
    mine = ("127.0.0.1:", "${API_ADDRESS:-127.0.0.1:", "${LISTEN_ADDRESS:-127.0.0.1:")
    assert all(port.startswith(mine) for ports in opened.values() for port in ports)
    inside = {name for name, service in services.items() if service["networks"] == ["inside"]}
    assert inside == set(services) - {"api", "listener", "grafana"}


def test_images_are_pinned_and_their_containers_confined(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d[\w.-]*", service["image"]), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        assert "privileged" not in service
    for name, service in ours(services).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("user") is None, name  # the image's
        if name != "migrate":
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
            assert service["deploy"]["resources"]["limits"]["memory"], name


def test_all_share_staging_and_only_who_takes_studies_in_sees_keys(services: dict[str, dict[str, Any]]) -> None:
    takes_in = {"api", "listener", "worker-gpu", "worker-cpu"}
    for name, service in ours(services).items():
        volumes = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert volumes == ({"data", "keys"} if name in takes_in else set() if name == "migrate" else {"data"}), name
        assert ("SLICEBANK_API_KEY" in service["environment"]) is (name == "api")


def test_workers_have_time_to_hand_back(services: dict[str, dict[str, Any]]) -> None:
    assert {services[name]["stop_grace_period"] for name in WORKERS} == {"60s"}
    gpu = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert services["worker-cpu"]["profiles"] == ["cpu"]
