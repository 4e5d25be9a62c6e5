"""docs/networks.md and the list of networks that are tried: the tests and names that they give exist."""

from __future__ import annotations

import re

import pytest
import yaml

from policyd.agent.reporting.conditions import NAMES
from policyd.node.networks import AMBIENT, ISTIO, NETWORKS, Network
from policyd.node.placement import patterns
from tests.deploy.rendering import CHART, ROOT

PAGE = (ROOT / "docs" / "networks.md").read_text()
TRIED = (ROOT / "tests" / "networks" / "README.md").read_text()


@pytest.mark.parametrize("text", [PAGE, TRIED], ids=["the page", "the list"])
def test_every_test_that_it_names_exists(text: str) -> None:
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", text)
    assert len(named) > 10
    for path, function in named:
        assert (ROOT / path).exists(), path
        assert not function or f"def {function}(" in (ROOT / path).read_text(), function


def test_no_network_of_the_list_is_left_out() -> None:
    assert re.findall(r"^\| (T\d+) \|", TRIED, re.MULTILINE) == [f"T{number}" for number in range(1, 18)]


def test_the_conditions_that_it_names_exist() -> None:
    named = set(re.findall(r"`(pods-[a-z]+)`", PAGE))
    assert {"pods-unseen", "pods-uncovered"} <= named <= set(NAMES)


def test_policyd_suggests_the_names_of_the_table() -> None:
    """What `pods-uncovered` says to add on a network is what the page says for it."""
    column = [row.split("|")[3] for row in PAGE.splitlines() if row.startswith("| ") and row.count("|") == 7]
    listed = {name for cell in column for name in re.findall(r"`([a-z]+)\*`", cell)}
    assert {"veth", "cali", "lxc", "eni", "azv", "gke"} <= listed
    assert set(patterns(f"{name}0a1b2c3d" for name in listed)) == {f"{name}*" for name in listed}


@pytest.mark.parametrize("network", [*NETWORKS, ISTIO, AMBIENT], ids=lambda network: network.name)
def test_doctor_prints_the_rows_of_the_table(network: Network) -> None:
    """Each row that doctor knows stands there, cell by cell."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and row.count("|") == 7]
    plain = [re.sub(r" \(\[\w+\]\([\w/.#]+\)\)|`", "", row) for row in rows]
    cells = [[cell.strip() for cell in row.split("|")] for row in plain]
    [found] = [row for row in cells if row[1] == network.name]
    assert found[2:6] == [network.placement, network.pod_interfaces, network.in_network, network.on_node]


def test_the_manifests_know_the_names_of_every_network() -> None:
    """Else pods that start are open there for a moment, until somebody has set them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = {name for network in NETWORKS for name in network.pod_interfaces.split(", ")} - {"", "none"}
    assert named <= set(values["settings"]["pod_interfaces"])
