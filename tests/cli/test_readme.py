"""What README shows of commands is what they print."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.cli.calls import ROOT, Call


def shown() -> list[tuple[str, str]]:
    """The commands of README's section on questions, each with its output."""
    section = (ROOT / "README.md").read_text().split("\n## Ask it\n")[1].split("\n## ")[0]
    _, block = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("command", "output"), shown(), ids=lambda text: text.split("\n")[0][:40])
def test_readme_shows_what_is_printed(
    call: Call, command: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "policyd"
    assert call(*arguments, "--color", "never").out == output
