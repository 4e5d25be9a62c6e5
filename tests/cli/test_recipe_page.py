"""docs/recipes.md: `policyd test` says of each recipe what the table below it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.cli.calls import ROOT, Call

PAGE = (ROOT / "docs" / "recipes.md").read_text()
CLUSTER = ROOT / "docs" / "recipes" / "cluster.yaml"
_RECIPE = re.compile(r"^### (\d+)\. (.+?)$\n+```yaml\n(.*?)^```\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\d+(?:/UDP)?) \| (allowed|denied) \|$", re.MULTILINE)
RECIPES = [match.groups() for match in _RECIPE.finditer(PAGE)]


def test_every_recipe_is_found_with_its_rows() -> None:
    assert [int(number) for number, *_ in RECIPES] == list(range(1, 15))
    assert len(re.findall(r"^### ", PAGE, re.MULTILINE)) == len(RECIPES)
    assert len(re.findall(r"\| (?:allowed|denied) \|$", PAGE, re.MULTILINE)) == sum(
        len(_ROW.findall(body)) for *_, body in RECIPES
    )


@pytest.mark.parametrize(("number", "title", "text", "body"), RECIPES, ids=[each[1] for each in RECIPES])
def test_a_recipe_does_what_its_table_says(
    call: Call, tmp_path: Path, number: str, title: str, text: str, body: str
) -> None:
    rows = _ROW.findall(body)
    assert {verdict for *_, verdict in rows} == {"allowed", "denied"}
    entries = {
        key: [{"from": a, "to": b, "port": c} for a, b, c, verdict in rows if verdict == word]
        for key, word in (("allow", "allowed"), ("deny", "denied"))
    }
    (tmp_path / "recipe.yaml").write_text(text)
    tests = tmp_path / "tests.json"
    tests.write_text(json.dumps({"apiVersion": "policyd/v1", "kind": "ConnectivityTest", **entries}))
    result = call("test", tests, "-f", CLUSTER, "-f", tmp_path / "recipe.yaml")
    assert result.code == 0, f"{number}. {title}\n{result.out}{result.err}"
    assert result.err == ""


def test_lint_finds_nothing_in_the_recipes(call: Call, tmp_path: Path) -> None:
    for number, _, text, _ in RECIPES:
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        result = call("lint", CLUSTER, path, "--world", "complete")
        assert result.code == 0, f"{number}: {result.out}"


def test_the_page_names_what_the_cluster_has() -> None:
    objects = [each["metadata"]["name"] for each in yaml.safe_load_all(CLUSTER.read_text()) if each]
    assert [name for name in objects if f"`{name}`" not in PAGE] == []
