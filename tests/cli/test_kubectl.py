"""`kubectl policyd`: the same command line under kubectl's name, and what kubectl asks to complete it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from policyd.cli.described import describe_one
from policyd.cli.frame import COMMANDS
from policyd.cli.kubectl_complete import FILES, NO_FILES, complete
from tests.cli.calls import ROOT, Result, finish, start
from tests.cluster import programs

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
DENIED = ("why", "-f", "old", "guest/shell", "shop/db:5432", "--color", "never")
#: As pip writes the scripts of a package.
SCRIPT = """\
#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of PATH with the scripts of the package."""
    for name, place in SCRIPTS.items():
        module, function = place.split(":")
        path = tmp_path / name
        path.write_text(SCRIPT.format(python=sys.executable, module=module, function=function))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(EXAMPLE)
    return tmp_path


def run(program: Path | str, *arguments: str) -> Result:
    return finish(start(*arguments, program=(str(program),)))


def test_the_plugin_is_the_same_command_line(installed: Path) -> None:
    plugin, own = run(installed / "kubectl-policyd", *DENIED), run(installed / "policyd", *DENIED)
    assert plugin == own
    assert (own.code, own.out.split()[0]) == (1, "DENIED")


def test_the_plugin_goes_by_the_name_under_which_it_is_called(installed: Path) -> None:
    plugin = installed / "kubectl-policyd"
    help_of_why = run(plugin, "why", "--help").out
    assert help_of_why.startswith("usage: kubectl policyd why ")
    assert "\n  kubectl policyd why -f manifests/" in help_of_why
    assert "| kubectl policyd why -f -" in help_of_why
    assert run(plugin, "reach", "--fom").err.startswith("kubectl policyd reach: error: ")
    assert "did you mean `kubectl policyd reach`?" in run(plugin, "reech").err
    assert run(installed / "policyd", "why", "--help").out.startswith("usage: policyd why ")


def words(*typed: str) -> set[str]:
    return {word for word, _ in complete(typed)[0]}


def test_commands_are_completed_with_what_they_do() -> None:
    assert complete([""]) == (list(COMMANDS.items()), NO_FILES)
    assert words("re") == {"reach"}
    assert complete(["nothing", ""]) == ([], NO_FILES)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_and_every_choice_is_completed(name: str) -> None:
    command = describe_one(name)
    assert words(name, "-") == {flag.names[-1] for flag in command.flags}
    for flag in command.flags:
        if flag.metavar:
            expected = list(flag.choices), FILES if flag.takes_path else NO_FILES
            found, directive = complete([name, flag.names[-1], ""])
            assert ([word for word, _ in found], directive) == expected


def test_files_are_offered_where_files_belong() -> None:
    assert complete(["diff", ""]) == ([], FILES)
    assert complete(["why", "-f", "ma"]) == ([], FILES)
    assert complete(["why", "shop/"]) == ([], NO_FILES)
    assert words("completion", "") == {"bash", "zsh", "fish"}


def test_what_is_printed_ends_with_the_directive(installed: Path) -> None:
    result = run(installed / "kubectl_complete-policyd", "why", "--al")
    assert result == Result(0, f"--all-ports\t{_text('why', '--all-ports')}\n:{NO_FILES}\n", "")
    assert run(installed / "kubectl_complete-policyd").out.startswith("why\t")


def _text(command: str, name: str) -> str:
    return next(flag.text for flag in describe_one(command).flags if name in flag.names)


@pytest.mark.cluster
def test_kubectl_runs_and_completes_the_plugin(installed: Path) -> None:
    kubectl = programs.program("kubectl")
    result = run(kubectl, "policyd", *DENIED)
    assert (result.code, result.out.split()[0]) == (1, "DENIED")
    assert f"{installed}/kubectl-policyd" in run(kubectl, "plugin", "list").out
    asked = subprocess.run(
        [kubectl, "__complete", "policyd", "reach", "--h"], capture_output=True, text=True, check=True
    )
    assert asked.stdout == f"--help\t{_text('reach', '--help')}\n--hops\t{_text('reach', '--hops')}\n:4\n"
