"""What `pip install policyd` brings is enough for questions; for the rest a sentence says what is missing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from policyd.cli.failures import AGENT
from policyd.cli.frame import COMMANDS
from tests.cli.calls import ROOT, Result, finish, start

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What questions must do without, as macOS has no netlink, and others not even the first four.
LINUX = ("fcntl", "grp", "pwd", "termios", "nftables")
MAIN = """\
import importlib.abc, os, socket, sys
class Elsewhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {hidden!r}:
            raise ModuleNotFoundError(f"{{name}} is no module of this system", name=name)
sys.meta_path.insert(0, Elsewhere())
for module, name in ((socket, "AF_NETLINK"), (socket, "AF_PACKET"), (os, "setns"), (os, "sched_getaffinity")):
    module.__dict__.pop(name, None)
sys.path[:] = [{path!r}, *sys.path]
from policyd.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A Python that sees what every system has, PyYAML and policyd, and no other package."""
    packages = Path(yaml.__file__).parent.parent
    for name in ("yaml", "_yaml"):
        (tmp_path / name).symlink_to(packages / name)
    for name in ("policyd", "compiler/policyd_compiler"):
        (tmp_path / Path(name).name).symlink_to(ROOT / name)
    monkeypatch.chdir(EXAMPLE)
    return sys.executable, "-S", "-E", "-P", "-c", MAIN.format(path=str(tmp_path), hidden=LINUX)


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
        (("test", "assertions.yaml", "-f", "old"), 0),
        (("verify", "-f", "old", "--node", "n1"), 0),
        (("convert", "--help"), 0),
    ],
)
def test_questions_take_no_more(bare: tuple[str, ...], arguments: tuple[str, ...], code: int) -> None:
    *python, main = bare
    result = run((*python, main.replace("nftables", "policyd.netlink")), *arguments)
    assert (result.code, "Traceback" in result.err) == (code, False), result.err


@pytest.mark.parametrize("arguments", [("completion", "bash"), ("completion", "zsh"), ("man",)])
def test_commands_of_the_agents_part_are_named_without_it(
    bare: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    result = run(bare, *arguments)
    assert (result.code, result.err) == (0, "")
    assert all(name.replace("-", "\\-") in result.out or name in result.out for name in COMMANDS)


def test_what_reads_a_cluster_says_how_to_do_without_a_client(bare: tuple[str, ...]) -> None:
    said = run(bare, "why", "--live", "shop/web", "shop/db:5432").err.splitlines()
    assert len(said) == 2
    assert "kubectl get ns,nodes,pods,netpol,svc," in said[1]
    assert "take `-f -` for --live" in said[1]


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
