"""The frame: commands are found, exit codes mean what they say, mistakes are sentences."""

from __future__ import annotations

import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable, Coroutine
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, get_origin

import pytest

from policyd import __main__
from policyd.cli import frame
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import METAVARS
from policyd.config import Settings
from policyd.errors import BadInput, Diagnostic, EnvironmentRefused, PolicydError, WrongUsage
from policyd.version import VERSION
from tests.cli.calls import ROOT, Call, finish, start

Main = Callable[[Namespace], int | Coroutine[Any, Any, int]]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Callable[[Main], None]:
    """Give the command line a command `trial` with the main function that a test passes."""

    def make(main: Main) -> None:
        module = ModuleType("policyd.cli.trial")

        def add_parser(subparsers: Subparsers) -> None:
            add_command(subparsers, "trial", "Try.", "policyd trial").add_argument("--flag")

        module.__dict__.update(add_parser=add_parser, main=main)
        monkeypatch.setitem(sys.modules, "policyd.cli.trial", module)
        monkeypatch.setitem(frame.COMMANDS, "trial", "try")

    return make


def raising(error: BaseException) -> Main:
    def main(_args: Namespace) -> int:
        raise error

    return main


def test_the_version_is_that_of_the_project(call: Call) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert call("--version").out == f"policyd {VERSION}\n"


def test_help_lists_every_command(call: Call) -> None:
    result = call("--help")
    assert result.code == 0
    for name, text in frame.COMMANDS.items():
        assert f"  {name} " in result.out
        assert text in result.out


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_what_the_frame_needs_and_an_example(name: str, call: Call) -> None:
    module = import_module(f"policyd.cli.{name.replace('-', '_')}")
    assert callable(module.add_parser)
    assert callable(module.main)
    result = call(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: policyd {name}")
    examples = result.out.partition("examples:\n")[2].splitlines()
    assert any(f"policyd {name}" in line for line in examples)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("complie",), "there is no command 'complie'; did you mean `policyd compile`?"),
        (("frobnicate",), f"there is no command 'frobnicate'; there are {', '.join(frame.COMMANDS)}"),
        (("--verison",), "unrecognized arguments: --verison (did you mean --version?)"),
        (("schema",), "the following arguments are required: SCHEMA"),
        (("schema", "ast"), "invalid choice: 'ast'"),
        (("compile", "--bogus"), "unrecognized arguments: --bogus"),
        (("compile", "--ouput=nft"), "unrecognized arguments: --ouput=nft (did you mean --output?)"),
        (("status", "--tabel", "x"), "unrecognized arguments: --tabel (did you mean --table?) x"),
        (("reach", "shop/"), "unrecognized arguments: shop/; manifests are named with -f PATH"),
        (("diff", "old", "-f", "new"), "unrecognized arguments: -f new; here paths are named without -f"),
        (("compile", "--all"), "unrecognized arguments: --all"),  # flags are not abbreviated
    ],
)
def test_a_wrong_command_line_is_two_lines_and_code_2(
    arguments: tuple[str, ...], sentence: str, call: Call
) -> None:
    result = call(*arguments)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err
    first, hint = result.err.splitlines()
    program = first.partition(": error: ")[0]
    assert hint == f"(`{program} --help` says what there is)"
    if arguments[0] in frame.COMMANDS:
        assert program == f"policyd {arguments[0]}"


def test_without_a_command_there_is_help_and_code_2(call: Call) -> None:
    result = call()
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("policyd: error: a command is needed\n")
    assert result.err.startswith(call("--help").out)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (("help",), ("--help",)),
        (("version",), ("--version",)),
        (("help", "compile"), ("compile", "--help")),
        (("help", "complie"), ("complie", "--help")),
        (("config",), ("config", "show")),
        (("config", "--origin"), ("config", "show", "--origin")),
    ],
)
def test_words_that_others_have_for_it_do_the_same(
    words: tuple[str, ...], flags: tuple[str, ...], call: Call
) -> None:
    assert call(*words) == call(*flags)


def test_every_setting_that_takes_a_value_says_what_value() -> None:
    words = (bool, Literal)
    open_ended = {
        name
        for name, field in Settings.model_fields.items()
        if (get_origin(field.annotation) or field.annotation) not in words
    }
    assert open_ended - METAVARS.keys() == set()


def test_a_switch_shows_its_default_as_a_word(call: Call) -> None:
    assert "read the directory's folders, too (no)" in " ".join(call("run", "--help").out.split())


MISTAKE = Diagnostic("a.yaml", 3, 7, "error", "wrong")
ODD = Diagnostic("a.yaml", 4, 1, "warning", "odd")
FAILURES: list[tuple[Exception, int, str]] = [
    (BadInput((MISTAKE, ODD)), 3, f"{MISTAKE}\n{ODD}\npolicyd: 1 error and 1 warning\n"),
    (WrongUsage("say which"), 2, "policyd: error: say which\n"),
    (EnvironmentRefused("no nft"), 4, "policyd: error: no nft\n"),
    (PolicydError("something"), 4, "policyd: error: something\n"),
    (PermissionError(13, "Permission denied", "/x"), 4, "policyd: error: /x: Permission denied\n"),
    (MemoryError(), 4, "policyd: error: there is not enough memory\n"),
    (ExceptionGroup("", [ExceptionGroup("", [EnvironmentRefused("no nft")])]), 4, "policyd: error: no nft\n"),
]


@pytest.mark.parametrize(("error", "code", "said"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_a_sentence_and_a_code(
    error: Exception, code: int, said: str, call: Call, trial: Callable[[Main], None]
) -> None:
    trial(raising(error))
    result = call("trial")
    assert (result.code, result.out, result.err) == (code, "", said)


def test_a_bug_says_that_it_is_one_and_where(call: Call, trial: Callable[[Main], None]) -> None:
    trial(raising(KeyError("pods")))
    result = call("trial")
    assert result.code == 70
    assert "Traceback" in result.err
    assert "this is a bug of policyd, not a mistake of yours: KeyError: 'pods'" in result.err.splitlines()[-1]
    assert "please report it" in result.err.splitlines()[-1]


def test_with_debug_a_mistake_has_a_traceback_too(
    call: Call, trial: Callable[[Main], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(raising(EnvironmentRefused("no nft")))
    monkeypatch.setenv("POLICYD_DEBUG", "1")
    result = call("trial")
    assert result.code == 4
    assert result.err.startswith("Traceback")
    assert result.err.endswith("policyd: error: no nft\n")


def test_a_command_may_be_a_coroutine(call: Call, trial: Callable[[Main], None]) -> None:
    async def work() -> int:
        return 1

    trial(lambda _args: work())
    assert call("trial").code == 1


def test_ctrl_c_ends_quietly(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trial: Callable[[Main], None]
) -> None:
    trial(raising(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["policyd", "trial"])
    assert __main__.main() == 130
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "environment", "colored"),
    [
        ((), {}, False),  # stderr is no terminal here
        (("--color=always",), {}, True),
        (("--color=always",), {"NO_COLOR": "1"}, True),  # who asks for it gets it
        (("--color=never",), {}, False),
    ],
)
def test_colour_is_for_those_who_want_it(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    colored: bool,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    result = call("compile", "-f", "not-there.yaml", *arguments)
    assert result.code == 3
    assert ("\x1b[" in result.err) is colored
    plain = "not-there.yaml: error: there is no such file"
    assert (plain in result.err) is not colored


LOOK = """\
import sys
from policyd.cli.frame import run
try:
    run(sys.argv[1:])
finally:
    print(*sys.modules)
"""


def imported(*arguments: str) -> set[str]:
    result = finish(start(*arguments, program=(sys.executable, "-c", LOOK)))
    return set(result.out.split())


def test_start_is_quick_because_next_to_nothing_is_imported() -> None:
    """A clock would be fooled by a busy machine; what is imported is what takes the time."""
    found = imported("--version")
    ours = {name for name in found if name.startswith(("policyd.", "policyd_compiler"))}
    assert ours == {"policyd.cli", "policyd.cli.frame", "policyd.cli.parsing", "policyd.version"}
    assert found.isdisjoint({"dataclasses", "yaml", "asyncio", "json", "importlib.metadata", "subprocess"})


def test_the_offline_commands_import_nothing_of_the_agent() -> None:
    found = imported("compile", "-f", "not-there")
    assert "policyd.pipeline" in found
    assert found.isdisjoint(
        {"pydantic", "asyncio", "aiohttp", "kubernetes_asyncio", "nftables", "watchfiles"}
    )
    rooms = {name.split(".")[1] for name in found if name.startswith("policyd.")}
    assert rooms == {"cli", "cluster", "errors", "kube", "lint", "manifests", "pipeline", "version"}
