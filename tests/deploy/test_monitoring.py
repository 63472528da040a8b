"""Prometheus' configuration, rules and dashboard: every metric is one that is documented, and everything leads somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slicebank_worker.runtime import Role
from tests.deploy.installed import ROOT

FOLDER = ROOT / "docker" / "monitoring"
_NAME = re.compile(r"\bslicebank_[a-z_]+\b")
# What Prometheus adds to the name of a histogram.
_PARTS = re.compile(r"_(bucket|sum|count)$")


def load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads((FOLDER / "grafana" / "dashboards" / "slicebank.json").read_text())


@pytest.fixture(scope="module")
def documented() -> dict[str, set[str]]:
    """Labels by metric, as the tables of docs/metrics.md have them."""
    rows = re.findall(r"^\| `(slicebank_\w+)` \| \w+ \|([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def rules() -> list[dict[str, Any]]:
    return [rule for group in load("rules.yml")["groups"] for rule in group["rules"]]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    scaled = yaml.safe_load((ROOT / "deploy/kubernetes/components/keda/scaledobject.yaml").read_text())
    yield from (trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"])


def test_every_metric_is_documented_with_the_labels_asked_for(
    dashboard: dict[str, Any], documented: dict[str, set[str]]
) -> None:
    used = set()
    for query in queries(dashboard):
        # A histogram's parts are documented under its name.
        metrics = {name if name in documented else _PARTS.sub("", name) for name in _NAME.findall(query)}
        assert metrics <= set(documented), query
        used |= metrics
        known = {"instance", "job", "role", "le"}.union(*(documented[name] for name in metrics))
        known |= set(re.findall(r'label_replace\([^"]*"[^,]*, "(\w+)"', query))
        grouped = {
            label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in group.split(", ") if label
        }
        assert grouped <= known, query
        for name, matchers in re.findall(r"\b(slicebank_[a-z_]+)\{([^}]*)\}", query):
            metric = name if name in documented else _PARTS.sub("", name)
            assert set(re.findall(r"(\w+)(?:=|!)", matchers)) <= documented[metric], query
    # What nobody would see is hardly worth counting.
    assert len(used) >= 0.8 * len(documented)


def test_queries_are_closed_and_ask_for_nothing_else(dashboard: dict[str, Any]) -> None:
    for query in queries(dashboard):
        bare = re.sub(r'"[^"]*"', "", query)
        assert all(bare.count(opening) == bare.count(closing) for opening, closing in ("()", "{}", "[]")), query
        assert _NAME.search(query) or re.search(r"\bup\{", query), query
        assert set(re.findall(r'job="([^"]*)"', query)) <= {
            job["job_name"] for job in load("prometheus.yml")["scrape_configs"]
        }


def test_prometheus_asks_the_services_that_compose_starts(compose: dict[str, Any]) -> None:
    config = load("prometheus.yml")
    api, workers = config["scrape_configs"]
    assert api["authorization"] == {"credentials_file": "/run/secrets/api_key"}
    (where,) = api["dns_sd_configs"]
    assert (where["names"], where["port"]) == (["api"], 8000)
    (where,) = workers["dns_sd_configs"]
    started = {name for name, service in compose["services"].items() if service["image"].startswith("slicebank-worker")}
    assert set(where["names"]) == started
    assert where["port"] == 9100
    roles = {
        name: rule["replacement"]
        for name in started
        for rule in workers["relabel_configs"]
        if re.fullmatch(rule["regex"], name)
    }
    assert {name: [Role(role).value] for name, role in roles.items()} == {
        name: compose["services"][name]["command"] for name in started
    }
    mounted = {volume.split(":")[0] for volume in compose["services"]["prometheus"]["volumes"]}
    assert {f"./docker/monitoring/{name}" for name in ("prometheus.yml", *config["rule_files"])} <= mounted


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["alert"].startswith("Slicebank")
        assert rule["labels"]["severity"] in ("page", "warning")
        assert set(rule["annotations"]) == {"summary", "action"}
        # A label in a sentence is one that the expression keeps.
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
            assert any(label in group for group in kept) or rule["expr"].startswith("up{"), (rule["alert"], label)


def test_the_dashboard_is_provisioned_and_drawn_without_gaps(
    dashboard: dict[str, Any], compose: dict[str, Any]
) -> None:
    provider = load("grafana/provisioning/dashboards/slicebank.yml")["providers"][0]
    source = load("grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    mounted = compose["services"]["grafana"]["volumes"]
    assert f"./docker/monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounted
    assert source["url"] == "http://prometheus:9090"
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    rows: dict[int, int] = {}
    for panel in panels(dashboard):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        rows[panel["gridPos"]["y"]] = rows.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(rows.values()) == {24}
