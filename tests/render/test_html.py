"""The page: what is in it, what it may do, and in a browser, where there is one, what it says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from policyd.ask.exposure import exposure, letting_all_in
from policyd.ask.reach import reach
from policyd.ask.world import World
from policyd.render import exposed
from policyd.render.cells import Cell
from policyd.render.html import exposure_page, page
from policyd.render.matrix import Line, Matrix, matrix_of
from tests.asking import world_of
from tests.cases.form import cluster_policy, namespace, pod
from tests.render.worlds import HOSTILE, boutique, chain_objects

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIER = cluster_policy("first", ingress=[{"action": "Deny", "from": [{"namespaces": {}}]}])


def page_of(world: World) -> str:
    return page(matrix_of(reach(world), wide_open=letting_all_in(world)), "said", world)


def data_of(text: str) -> Any:
    return json.loads(text.split('id="data">')[1].split("</script>", maxsplit=1)[0])


def test_its_own_policy_lets_nothing_run_but_its_script() -> None:
    text = page_of(boutique())
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    for word, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        body = text.split(tag)[1].split(tag.replace("<", "</"))[0]
        expected = b64encode(sha256(body.encode()).digest()).decode()
        assert f"{word} 'sha256-{expected}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"""(?:src|href)=|\sstyle="|\son\w+="|https?:|@import|url\(""", text)


def test_its_cells_are_those_of_the_matrix() -> None:
    world = boutique()
    matrix = matrix_of(reach(world))
    data = data_of(page_of(world))
    for sender, runs in zip(matrix.senders, data["cells"], strict=True):
        line = [number for number, many in zip(runs[::2], runs[1::2], strict=True) for _ in range(many)]
        for receiver, number in zip(matrix.receivers, line, strict=True):
            cell = matrix.cells.get((sender.id, receiver.id), Cell("", "none"))
            answer = data["answers"][number]
            assert (answer["text"], answer["kind"]) == (cell.text, cell.strength)
    assert [data["ends"][number]["name"] for number in data["wide"]] == ["default/frontend"]


def test_three_hundred_workloads_are_a_small_file() -> None:
    assert len(page_of(world_of(chain_objects(300)))) < 400_000


def test_rules_of_administrators_are_in_it() -> None:
    data = data_of(page_of(world_of([*chain_objects(2), TIER])))
    [tiers] = data["why"]["sides"][0]["ingress"]["tiers"]
    [rule] = data["why"]["tiers"][tiers]["rules"]
    assert (rule["tier"], rule["action"], rule["policy"], rule["at"]) == (
        "admin",
        "deny",
        "first",
        "ingress[0]",
    )
    [need] = rule["needs"]
    assert data["why"]["needs"][need]["yes"] == [0, 1]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_of_manifests_cannot_end_its_block(text: str) -> None:
    line = Line(text, text, text)
    matrix = Matrix((line,), (line,), {(text, text): Cell(text, "some")}, frozenset({text}))
    world = world_of(chain_objects(2))
    made = page(matrix, text, world, grouped=True)
    harmless = page(Matrix((Line("a", "a", "a"),), (), {}), "a", world, grouped=True)
    assert [made.count(tag) for tag in ("<script", "</script", "<img", "<!--")] == [
        harmless.count(tag) for tag in ("<script", "</script", "<img", "<!--")
    ]
    assert data_of(made)["ends"][0]["id"] == text


def dump(path: Path, fragment: str) -> str:
    """The page as a browser has it once its script has run."""
    assert BROWSER is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'profile'}")
    command = [BROWSER, *options, "--dump-dom", f"{path.as_uri()}#{fragment}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_in_a_browser_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "reach.html").write_text(page_of(boutique()))
    found = dump(tmp_path / "reach.html", "from=default/deploy/adservice&to=default/deploy/redis-cart")
    told = re.sub(r"<[^>]*>", " ", found.split('id="why"')[1].split("</aside>")[0])
    assert "denied: all ports" in told
    assert "isolated by default/deny-all, default/redis-cart" in told
    assert "the source has app=adservice; the rule wants app=cartservice" in told
    assert "fix: app: cartservice → app: adservice, or label the pod app=cartservice" in told
    assert "◉ frontend" in found


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_in_a_browser_exposure_names_the_rules(tmp_path: Path) -> None:
    world = boutique()
    found = exposure(world)
    matrix = exposed.matrix_of(found, letting_all_in(world))
    (tmp_path / "open.html").write_text(exposure_page(matrix, "said", exposed.rules(found)))
    seen = dump(tmp_path / "open.html", "from=everybody&to=default/deploy/frontend")
    told = re.sub(r"<[^>]*>", " ", seen.split('id="why"')[1].split("</aside>")[0])
    assert "open to all of these: all" in told
    assert "default/frontend ingress[0]" in told


@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_in_a_browser_hostile_names_are_text(tmp_path: Path) -> None:
    """Labels of a pod that no API server would take, and that would run if they were HTML."""
    world = world_of([namespace("a"), pod("a/p", "10.1.0.1"), pod("a/q", "10.1.0.2")])
    matrix = matrix_of(reach(world))
    evil = '<img src=x onerror="document.title=1">'
    lines = tuple(Line(line.id, f"{line.name}{evil}", line.namespace) for line in matrix.senders)
    cells = {ends: Cell(f"{cell.text}{evil}", cell.strength) for ends, cell in matrix.cells.items()}
    (tmp_path / "reach.html").write_text(page(Matrix(lines, lines, cells), evil, world, grouped=True))
    found = dump(tmp_path / "reach.html", "from=a/pod/p&to=a/pod/q")
    assert "<img" not in found
    assert "<title>Who may open" in found
