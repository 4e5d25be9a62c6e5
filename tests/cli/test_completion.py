"""Completion in a real shell, and the manual page: both have every command and every flag."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from policyd.cli.described import Described, describe
from policyd.cli.frame import COMMANDS
from policyd.cli.man import page
from policyd.version import VERSION
from tests.cli.calls import Call

#: Asks the function of bash what it offers for these words, of which the last is being written.
ASK_BASH = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_policyd
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def commands() -> list[Described]:
    return list(describe())


@pytest.fixture
def script(call: Call, tmp_path: Path) -> Path:
    path = tmp_path / "policyd.bash"
    path.write_text(call("completion", "bash").out)
    return path


def offered(script: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", ASK_BASH, "bash", script, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=script.parent,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_offers_every_command(script: Path) -> None:
    assert set(offered(script, "policyd", "")) == {*COMMANDS, "--help", "--version"}
    assert offered(script, "policyd", "comp") == ["compile", "completion"]


def test_bash_offers_every_flag_and_every_choice(script: Path, commands: list[Described]) -> None:
    for command in commands:
        names = {name for flag in command.flags for name in flag.names if name.startswith("--")}
        assert set(offered(script, "policyd", command.name, "--")) == names
    for command in commands:
        for flag in command.flags:
            if flag.choices:
                assert offered(script, "policyd", command.name, flag.names[-1], "") == list(flag.choices)


def test_bash_offers_words_and_files_where_they_belong(script: Path) -> None:
    assert offered(script, "policyd", "schema", "Verd") == ["Verdict"]
    assert offered(script, "policyd", "completion", "") == ["bash", "zsh", "fish"]
    assert offered(script, "policyd", "compile", "-f", "poli") == ["policyd.bash"]
    assert offered(script, "policyd", "diff", "poli") == ["policyd.bash"]
    assert offered(script, "policyd", "compile", "--node", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_has_all_of_it_and_is_one_for_its_shell(
    call: Call, shell: str, commands: list[Described], tmp_path: Path
) -> None:
    text = call("completion", shell).out
    for command in commands:
        assert command.name in text
        for flag in command.flags:
            assert f"-l {flag.names[-1][2:]} " in text if shell == "fish" else flag.names[-1] in text
    path = tmp_path / "script"
    path.write_text(text)
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", path], capture_output=True, check=False).returncode == 0


def test_a_shell_that_is_not_known_is_refused(call: Call) -> None:
    assert call("completion", "tcsh").code == 2


def test_the_manual_page_has_every_command_and_flag(call: Call, commands: list[Described]) -> None:
    text = call("man").out
    assert text == page(commands)
    for command in commands:
        assert f'.SS "policyd {command.name.replace("-", chr(92) + "-")} ' in text
        for flag in command.flags:
            assert flag.names[-1].replace("-", "\\-") in text
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_there_for_programs(call: Call) -> None:
    found = json.loads(call("version", "-o", "json").out)
    assert (found["apiVersion"], found["kind"], found["version"]) == ("policyd/v1", "Version", VERSION)
    assert call("version").out == f"policyd {VERSION}\n"
