"""What is deployed: files that are read by others parse, and name only what exists."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from syncd import metrics
from syncd.mirror import backfill, changes, dirty, schema
from syncd.settings import Settings
from syncd.verify import compare
from tests.docs import pages

DEPLOY = pages.ROOT / "deploy"
STOP_SECONDS = Settings().daemon.stop_timeout_seconds


def series() -> set[str]:
    """Return every name that Prometheus can see of syncd."""
    ours = [metric for metric in REGISTRY.collect() if metric.name.startswith("syncd_")]
    return {name for metric in ours for name in suffixed(metric)}


def suffixed(metric: Any) -> set[str]:
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {metric.name + ending for ending in endings[metric.type]}


def expressions() -> list[str]:
    """Return the queries of the alerts and of the dashboard."""
    rules = documents("prometheus/alerts.yml")[0]["groups"][0]["rules"]
    dashboard = json.loads((DEPLOY / "grafana/syncd.json").read_text(encoding="utf-8"))
    return [rule["expr"] for rule in rules] + [
        t["expr"] for panel in dashboard["panels"] for t in panel["targets"]
    ]


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda p: p.name)
def test_every_yaml_is_one(path: Path) -> None:
    assert all(documents(str(path.relative_to(DEPLOY))))


@pytest.mark.parametrize("expression", expressions())
def test_every_query_names_metrics_and_labels_that_exist(expression: str) -> None:
    named = set(re.findall(r"\bsyncd_\w+", expression))
    assert named
    assert named <= series()
    assert expression.count("(") == expression.count(")")
    labels = {name for m in vars(metrics).values() for name in getattr(m, "_labelnames", ())}
    asked = set(re.findall(r"(\w+)=\"", expression))
    asked |= {
        label.strip()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    assert asked <= labels | {"instance"}


def test_the_operations_page_lists_every_metric() -> None:
    listed = {
        name
        for cells in pages.rows(pages.section("docs/operations.md", "Metrics"))
        for name in pages.code(cells[0])
    }
    ends = {re.sub("_(bucket|sum|count)$", "", name) for name in series()}
    assert listed == ends


def test_the_operations_page_explains_every_alert_and_no_other() -> None:
    alerts = {rule["alert"] for rule in documents("prometheus/alerts.yml")[0]["groups"][0]["rules"]}
    assert set(re.findall(r"`(Syncd\w+)`", pages.text("docs/operations.md"))) == alerts


def test_feeds_that_queries_name_are_feeds() -> None:
    feeds = {schema.FEED, changes.FEED, dirty.FEED, backfill.FEED, compare.FEED}
    named = {feed for e in expressions() for feed in re.findall(r'feed="(\w+)"', e)}
    assert named <= feeds


def test_the_image_runs_as_nobody_and_copies_what_is_there() -> None:
    text = (pages.ROOT / "Dockerfile").read_text(encoding="utf-8")
    last = text.split("\nFROM ")[-1]
    assert "USER 10001" in last
    assert "HEALTHCHECK" in last
    ignored = (pages.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (pages.ROOT / name).exists()
            assert f"!{name}" in ignored


def test_what_builds_the_image_is_pinned_as_it_is_for_developers() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (pages.ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements-build.lock") <= pins("requirements-dev.lock")
    assert pins("requirements.lock") <= pins("requirements-dev.lock")
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]


def test_every_supervisor_waits_longer_than_the_service_needs_to_stop() -> None:
    compose = documents("compose.yml")[0]["services"]["syncd"]["stop_grace_period"]
    pod = documents("kubernetes/deployment.yaml")[0]["spec"]["template"]["spec"][
        "terminationGracePeriodSeconds"
    ]
    unit = (DEPLOY / "systemd/syncd.service").read_text(encoding="utf-8")
    seconds = [compose.removesuffix("s"), pod, re.search(r"TimeoutStopSec=(\d+)", unit)[1]]
    assert all(int(wait) > STOP_SECONDS for wait in seconds)


def test_the_pods_are_two_migrate_first_and_may_do_little() -> None:
    deployment = documents("kubernetes/deployment.yaml")[0]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 2
    assert [c["args"] for c in pod["initContainers"] + pod["containers"]] == [["migrate"], ["run"]]
    assert pod["securityContext"]["runAsNonRoot"]
    mounted = {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    config = documents("kubernetes/configmap.yaml")[0]["data"]["syncd.toml"]
    files = set(re.findall(r'_file = "(/[^"]+)/[^/"]+"', config))
    assert files | {"/etc/syncd"} == mounted
