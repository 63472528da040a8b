"""What the Kubernetes manifests promise, as far as it can be known without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from slicebank_worker.runtime import Role
from tests.deploy.image import Image
from tests.deploy.installed import ROOT
from tests.deploy.settings_known import STORE, unknown

FOLDER = ROOT / "deploy" / "kubernetes"
Documents = dict[Path, list[dict[str, Any]]]

# Kinds that Kubernetes itself does not know, with the fields that must be there (a path of keys each) as their makers document them.
CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): ("spec.scaleTargetRef.name", "spec.triggers"),
    ("monitoring.coreos.com/v1", "PodMonitor"): ("spec.selector.matchLabels", "spec.podMetricsEndpoints"),
}
KUSTOMIZE = ("Kustomization", "Component")
# Files that are no manifests but patches of some.
PATCHES = (FOLDER / "components" / "cpu" / "embed.yaml",)


def documents(manifests: Documents) -> Iterator[dict[str, Any]]:
    for path, found in manifests.items():
        if path not in PATCHES:
            yield from (document for document in found if document["kind"] not in KUSTOMIZE)


def named(manifests: Documents, kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in documents(manifests) if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods(manifests: Documents) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, pod template and only container of everything that runs."""
    for document in documents(manifests):
        template = document.get("spec", {}).get("template") if document["kind"] != "ScaledObject" else None
        if template:
            (container,) = template["spec"]["containers"]
            yield document["metadata"]["name"], template, container


def at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document[key]
    return document


def test_every_manifest_is_valid_to_the_letter(manifests: Documents) -> None:
    seen = set()
    for document in documents(manifests):
        kind = (document["apiVersion"], document["kind"])
        if kind in CUSTOM:
            assert all(at(document, path) for path in CUSTOM[kind]), kind
        else:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        assert "namespace" not in document["metadata"]
        seen.add(document["kind"])
    assert {
        "Deployment",
        "Job",
        "ConfigMap",
        "Secret",
        "PersistentVolumeClaim",
        "Service",
        "Ingress",
        "NetworkPolicy",
    } <= seen
    assert {"PodDisruptionBudget", "StatefulSet", "ScaledObject", "PodMonitor"} <= seen


def test_kustomizations_name_every_file_and_no_other(manifests: Documents) -> None:
    for path, (first, *_) in manifests.items():
        if first["kind"] not in KUSTOMIZE:
            continue
        assert set(first) <= {"apiVersion", "kind", "resources", "components", "patches", "images", "labels"}
        named_here = [*first.get("resources", []), *first.get("components", [])]
        named_here += [patch["path"] for patch in first.get("patches", []) if "path" in patch]
        assert all((path.parent / name).exists() for name in named_here), path
        others = {other.name for other in path.parent.glob("*.yaml")} - {path.name}
        assert {name for name in named_here if not name.startswith("..")} == others, path
        for patch in first.get("patches", []):
            if "path" in patch:
                target = yaml.safe_load((path.parent / patch["path"]).read_text())
                found = named(manifests, target["kind"], target["metadata"]["name"])
                names = {container["name"] for container in found["spec"]["template"]["spec"]["containers"]}
                assert {c["name"] for c in target["spec"]["template"]["spec"]["containers"]} <= names
            else:
                named(manifests, patch["target"]["kind"], patch["target"]["name"])
        for image in first.get("images", []):
            assert image["name"] in {container["image"].partition(":")[0] for *_, container in pods(manifests)}


def test_every_container_is_confined(manifests: Documents) -> None:
    for name, template, container in pods(manifests):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] != 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"]), name
        assert "memory" in resources["limits"], name
        assert ":" in container["image"], name


def test_our_pods_run_the_images_as_the_images_want(manifests: Documents, images: dict[str, Image]) -> None:
    roles = set()
    for name, template, container in pods(manifests):
        image = container["image"].partition(":")[0]
        if image not in images:
            continue
        assert template["spec"]["securityContext"]["runAsUser"] == 10001, name
        if name == "slicebank-migrate":
            assert container["command"] == ["slicebank", "admin", "migrate"]
            continue
        assert "command" not in container, name  # the image's entry point, which test_processes.py runs
        if image == "slicebank-worker":
            (role,) = container["args"]
            roles.add(Role(role))
            for probe in ("startupProbe", "livenessProbe"):
                assert container[probe]["exec"]["command"] == [*images[image].healthcheck, role]
            assert template["spec"]["terminationGracePeriodSeconds"] >= 60
            assert template["metadata"]["labels"]["slicebank/worker"] == "true"
    assert roles == set(Role)


def test_every_setting_is_one_that_its_process_reads(manifests: Documents, images: dict[str, Image]) -> None:
    config = named(manifests, "ConfigMap", "slicebank")["data"]
    secret = named(manifests, "Secret", "slicebank")["stringData"]
    assert set(secret) <= STORE
    for name, _, container in pods(manifests):
        image = container["image"].partition(":")[0]
        if image in images:
            own = {variable["name"] for variable in container.get("env", [])}
            assert unknown(image, own) == set(), name
            assert unknown(image, set(config)) == set(), name
    (patch,) = manifests[PATCHES[0]]
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert unknown("slicebank-worker", {variable["name"] for variable in container["env"]}) == set()


def test_secrets_are_empty_and_the_key_is_the_apis_alone(manifests: Documents) -> None:
    for document in documents(manifests):
        if document["kind"] == "Secret":
            assert set(document["stringData"].values()) == {""}
    holders = {
        name
        for name, _, container in pods(manifests)
        if any(source.get("secretRef", {}).get("name") == "slicebank-api" for source in container.get("envFrom", []))
    }
    assert holders == {"slicebank-api"}


def test_volumes_of_several_pods_can_be_shared(manifests: Documents) -> None:
    users: dict[str, set[str]] = {}
    for name, template, _ in pods(manifests):
        for volume in template["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                users.setdefault(volume["persistentVolumeClaim"]["claimName"], set()).add(name)
    workers = {"slicebank-embed", "slicebank-train", "slicebank-predict"}
    assert users == {
        "slicebank-data": {"slicebank-api", *workers},
        "slicebank-keys": {"slicebank-api", "slicebank-embed"},
    }
    for claim in users:
        assert named(manifests, "PersistentVolumeClaim", claim)["spec"]["accessModes"] == ["ReadWriteMany"]


def test_selectors_find_their_pods(manifests: Documents) -> None:
    labels = {name: template["metadata"]["labels"] for name, template, _ in pods(manifests)}
    for document in documents(manifests):
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        wanted = selector.get("matchLabels", selector)
        if document["kind"] in (
            "Service",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Deployment",
            "StatefulSet",
            "PodMonitor",
        ):
            assert [name for name, found in labels.items() if wanted.items() <= found.items()], document["metadata"]
    api = named(manifests, "Deployment", "slicebank-api")["spec"]
    assert api["replicas"] > named(manifests, "PodDisruptionBudget", "slicebank-api")["spec"]["minAvailable"]
    (container,) = api["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_the_queue_scales_the_gpu_workers(manifests: Documents) -> None:
    scaled = named(manifests, "ScaledObject", "slicebank-embed")["spec"]
    embed = named(manifests, "Deployment", scaled["scaleTargetRef"]["name"])["spec"]
    assert "replicas" not in embed  # or applying the manifest again would undo the scaling
    (container,) = embed["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert embed["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
