"""The install pages: what they name exists. What they call `sh` is run by tests/cluster/policyd."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from policyd.config import PREFIX, Settings
from tests.deploy.rendering import ROOT, SCHEMA

FOLDER = ROOT / "docs" / "install"
PAGES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
EVERYTHING = "\n".join(PAGES.values())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
#: How the pages write that policyd tells of a condition.
SAID = re.compile(r"\bsays\s+`([a-z]+-?[a-z-]*)`")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", PAGES[page])]
    assert [target for target in targets if "://" not in target and not (FOLDER / target).exists()] == []


def test_every_page_is_linked_from_the_first() -> None:
    linked = set(re.findall(r"\]\((\w+\.md)\)", PAGES["README.md"]))
    assert set(PAGES) - linked == {"README.md"}


def test_paths_of_the_checkout_exist() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", EVERYTHING))
    assert {"deploy/install.yaml", "deploy/uninstall.yaml"} <= named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_values_are_values_of_the_chart() -> None:
    named = re.findall(r"--set ([\w.]+)=", EVERYTHING) + re.findall(r"`(monitoring\.\w+)", EVERYTHING)
    assert len(named) > 3
    for name in named:
        there: Any = json.loads(SCHEMA.read_text())
        for part in name.split("."):
            assert part in there["properties"], name
            there = there["properties"][part]


def test_variables_are_settings_of_the_agent() -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)=", EVERYTHING))
    assert "DENY" in named
    assert {name.lower() for name in named} - set(Settings.model_fields) == set()


def test_what_policyd_says_is_what_the_operations_page_explains() -> None:
    (table,) = re.findall(r"^\| what is said.*?\n\n", PAGES["README.md"], re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    said = {*re.findall(r"`([^`]+)`", "".join(cells)), *SAID.findall(EVERYTHING)}
    assert {"pods-unseen", "bridge-netfilter-off", "second-engine", "flowtable"} <= said
    assert {word for word in said if f"`{word}`" not in OPERATIONS} == set()
