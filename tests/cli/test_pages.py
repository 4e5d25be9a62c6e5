"""Pages for people: what they show of commands is what they print, and their links lead somewhere.

README's own commands: test_readme.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from policyd.cli.described import describe_one
from policyd.cli.frame import COMMANDS
from policyd.config import Settings
from tests.cli.calls import ROOT, Call

DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "README.md", *DOCS.rglob("*.md")))}
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def shown(path: Path) -> list[tuple[str, str]]:
    """Commands on files of docs that are shown with what they print."""
    parts = [
        re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:] for block in _BLOCK.findall(path.read_text())
    ]
    pairs = [pair for each in parts for pair in zip(each[::2], each[1::2], strict=True)]
    return [(command, output) for command, output in pairs if output and " docs/" in command]


CASES = [(page, *each) for page, path in PAGES.items() if page != "README.md" for each in shown(path)]


def test_there_is_something_to_hold_pages_to() -> None:
    assert {page for page, *_ in CASES} == {"docs/troubleshooting.md"}


@pytest.mark.parametrize(
    ("page", "command", "output"), CASES, ids=[f"{page}: {command[:40]}" for page, command, _ in CASES]
)
def test_a_page_shows_what_is_printed(
    call: Call, page: str, command: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "policyd"
    assert call(*arguments, "--color", "never").out == output


def test_the_example_for_programs_prints_what_the_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", (DOCS / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["python", ""]
    (_, code), (_, expected) = blocks
    exec(code, {})  # noqa: S102 our own page
    assert capsys.readouterr().out == expected


def anchors(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    plain = [
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)).lower() for text in headings
    ]
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", PAGES[page].read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in _LINK.findall(text):
        if "://" in target:
            continue
        path = (PAGES[page].parent / target).resolve() if target else PAGES[page]
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    linked = {target for target, _ in _LINK.findall(index)}
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} == {
        name for name in linked if "/" not in name
    }


@pytest.mark.parametrize("page", PAGES)
def test_flags_of_commands_that_pages_show_exist(page: str) -> None:
    """In console blocks and in code: up to a pipe, another command or a comment."""
    shown = re.findall(
        r"(?:^\$ |`|\| |sudo )(?:kubectl )?policyd ([a-z-]+) ([^`|;#\n]*)",
        PAGES[page].read_text(),
        re.MULTILINE,
    )
    for command, rest in shown:
        if command in COMMANDS:
            known = {name for flag in describe_one(command).flags for name in flag.names}
            assert set(re.findall(r"(?<!\S)-{1,2}[a-zA-Z][a-z-]*", rest)) - known == set(), (command, rest)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_settings_that_pages_name_exist(page: str) -> None:
    text = PAGES[page].read_text()
    named = set(re.findall(r"(?:^\$ |`|\| )policyd ([a-z][a-z-]*)\b", text, re.MULTILINE))
    assert named - set(COMMANDS) - {"help"} == set()
    settings = set(re.findall(r"`([a-z]+_[a-z_]+): [a-z]+`", text))
    assert settings - set(Settings.model_fields) == set()
