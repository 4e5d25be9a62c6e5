"""What `pip install policyd` brings is enough for questions; for the rest a sentence says what is missing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from policyd.cli.failures import AGENT
from tests.cli.calls import ROOT, Result, finish, start

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAIN = "import sys; sys.path[:] = [{!r}, *sys.path]; from policyd.__main__ import main; sys.exit(main())"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A Python that sees the standard library, PyYAML and policyd, and no other package."""
    packages = Path(yaml.__file__).parent.parent
    for name in ("yaml", "_yaml"):
        (tmp_path / name).symlink_to(packages / name)
    for name in ("policyd", "compiler/policyd_compiler"):
        (tmp_path / Path(name).name).symlink_to(ROOT / name)
    monkeypatch.chdir(EXAMPLE)
    return sys.executable, "-S", "-E", "-P", "-c", MAIN.format(str(tmp_path))


def run(bare: tuple[str, ...], *arguments: str) -> Result:
    return finish(start(*arguments, program=bare))


def test_the_base_is_small() -> None:
    assert [re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]] == ["PyYAML"]


def test_what_is_missing_without_the_extra_is_known() -> None:
    extra = {re.split(r"[^\w-]", line)[0] for line in PROJECT["optional-dependencies"]["agent"]}
    assert {name.replace("-", "_") for name in extra} == AGENT


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version",), 0),
        (("why", "-f", "old", "shop/web", "shop/db:5432"), 0),
        (("reach", "-f", "old"), 0),
        (("diff", "old", "new"), 1),
        (("lint", "old"), 0),
        (("compile", "-f", "old", "--node", "n1", "-o", "summary"), 0),
        (("schema", "Reachability"), 0),
    ],
)
def test_questions_take_no_more(bare: tuple[str, ...], arguments: tuple[str, ...], code: int) -> None:
    result = run(bare, *arguments)
    assert (result.code, "Traceback" in result.err) == (code, False), result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--node", "n1"),
        ("reach", "--live"),
        ("config", "show"),
        ("schema", "config"),
        ("status",),
    ],
)
def test_what_needs_the_agents_part_says_so(bare: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    result = run(bare, *arguments)
    assert result.code == 4, result.err
    assert "pip install 'policyd[agent]'" in result.err
    assert "Traceback" not in result.err
