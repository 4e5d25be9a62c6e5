"""Alerts and the dashboard ask for metrics that the agent has."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from policyd.agent.reporting.conditions import STALE_SECONDS
from policyd.obs.metrics import Metrics
from tests.deploy.rendering import CHART, MONITORING

ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS for rule in group["rules"]]
EXPRESSIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
}


def series() -> dict[str, frozenset[str]]:
    """Every series that the agent may show, with its labels."""
    registry = Metrics().registry
    return {
        name: frozenset(getattr(collector, "_labelnames", ()))
        for name, collector in registry._names_to_collectors.items()
    }


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=list(EXPRESSIONS))
def test_expressions_ask_for_series_that_there_are(expression: str) -> None:
    named = re.findall(r"\b(policyd_\w+)(\{[^}]*\})?", expression)
    known = series()
    assert named or expression.startswith("up{")
    assert {name for name, _ in named} - set(known) == set()
    for name, selector in named:
        labels = set(re.findall(r"(\w+)=", selector))
        assert labels - known[name] - {"node", "instance"} == set(), name


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=list(EXPRESSIONS))
def test_brackets_of_expressions_are_closed(expression: str) -> None:
    plain = re.sub(r'"[^"]*"', "", expression)
    assert [plain.count(bracket) for bracket in "({["] == [plain.count(bracket) for bracket in ")}]"]


def test_each_alert_says_where_what_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["alert"].startswith("Policyd")
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_an_alert_and_readiness_agree_when_a_watch_is_stale() -> None:
    (rule,) = (rule for rule in RULES if rule["alert"] == "PolicydWatchStale")
    assert float(rule["expr"].rpartition(">")[2]) == STALE_SECONDS


def test_panels_do_not_overlap_and_have_one_name_each() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(set(titles)) == len(titles)


def test_the_overlay_holds_these_alerts_and_this_dashboard() -> None:
    objects = {
        document["kind"]: document
        for document in yaml.safe_load_all((MONITORING / "monitoring.yaml").read_text())
        if document is not None
    }
    assert set(objects) == {"PodMonitor", "PrometheusRule", "ConfigMap"}
    assert objects["PrometheusRule"]["spec"]["groups"] == ALERTS
    assert json.loads(objects["ConfigMap"]["data"]["policyd.json"]) == DASHBOARD
