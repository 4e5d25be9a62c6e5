"""The formats of `policyd reach`, as they are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from policyd.cli.reach_formats import FORMATS, HOPS_FORMATS, OF_WORKLOADS, OPEN_FORMATS
from tests.cli.calls import ROOT, Call

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
BEGINS = {
    "json": "{",
    "md": "### Who may open a connection to whom\n",
    "csv": "from,to,verdict,protocol,ports,family,addresses\r\n",
    "dot": "digraph reach {\n",
    "mermaid": "%% 3 pods and workloads",
    "svg": "<svg ",
    "html": "<!DOCTYPE html>\n",
    "tests": "# What these policies allow",
}
OPEN_BEGINS = {
    **BEGINS,
    "md": "### What is open to whoever comes\n",
    "csv": "endpoint,to,protocol,ports,rules\r\n",
    "mermaid": "%% What is open to whoever comes: 3 pods",
}
HOPS_BEGINS = {
    **BEGINS,
    "md": "### Whom guest/shell reaches over at most 2 connections\n",
    "csv": "hop,from,to,protocol,ports\r\n",
    "mermaid": "%% Whom guest/shell reaches over at most 2 connections\n",
}
HOPS = ("--from", "guest/shell", "--hops", "2")


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of the contract."""
    monkeypatch.chdir(EXAMPLE)
    return EXAMPLE


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_is_alone_on_standard_output(call: Call, output: str) -> None:
    result = call("reach", "-f", "old", "-o", output)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(BEGINS[output])
    assert result.out == call("reach", "-f", "old", "-o", output).out


@pytest.mark.parametrize(
    ("asked", "output", "begins"),
    [
        *((("--open",), output, OPEN_BEGINS) for output in OPEN_FORMATS),
        *((HOPS, output, HOPS_BEGINS) for output in HOPS_FORMATS),
    ],
)
def test_exposure_and_hops_have_formats_of_their_own(
    call: Call, asked: tuple[str, ...], output: str, begins: dict[str, str]
) -> None:
    result = call("reach", "-f", "old", *asked, "-o", output)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(begins[output])
    assert "shop/" in result.out
    assert result.out == call("reach", "-f", "old", *asked, "-o", output).out


@pytest.mark.parametrize(
    ("asked", "output", "formats"),
    [
        (("--open",), "tests", OPEN_FORMATS),
        (("--open",), "table", OPEN_FORMATS),
        (HOPS, "svg", HOPS_FORMATS),
        (HOPS, "html", HOPS_FORMATS),
    ],
)
def test_a_format_that_does_not_fit_is_refused_with_those_that_do(
    call: Call, asked: tuple[str, ...], output: str, formats: dict[str, object]
) -> None:
    result = call("reach", "-f", "old", *asked, "-o", output)
    assert (result.code, result.out) == (2, "")
    assert f"has no -o {output}: it has list, {', '.join(formats)}\n" in result.err


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_reads_an_overlay_and_a_revision(call: Call, output: str, tmp_path: Path) -> None:
    changed = call("reach", "-f", "old", "--with", "new/policies.yaml", "-o", output).out
    assert changed != call("reach", "-f", "old", "-o", output).out
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert call("reach", "--git", "nothing", "-o", output).code == 4


def test_the_present_state_is_held_by_policyd_test(call: Call, tmp_path: Path) -> None:
    """It passes where it was written, and fails where something opened or closed."""
    for old, new in (("old", "new"), ("new", "old")):
        tests = tmp_path / f"{old}.yaml"
        tests.write_text(call("reach", "-f", old, "-o", "tests").out)
        assert call("test", tests, "-f", old).code == 0
        assert call("test", tests, "-f", new).code == 1


def test_assertions_are_about_what_was_asked_alone(call: Call, tmp_path: Path) -> None:
    tests = tmp_path / "tests.yaml"
    tests.write_text(call("reach", "-f", "old", "--to", "shop/db", "--port", "5432", "-o", "tests").out)
    assert tests.read_text().splitlines()[-4:] == [
        "allow:",
        "  - {from: shop/deploy/web, to: shop/sts/db, port: 5432}",
        "deny:",
        "  - {from: [guest/pod/shell, internet], to: shop/sts/db, port: 5432}",
    ]
    assert call("test", tests, "-f", "old").code == 0


def test_namespaces_and_labels_stand_for_what_is_in_them(call: Call) -> None:
    lines = call("reach", "-f", "old", "--by", "namespace", "-o", "table").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["guest", "shop", "outside"]
    assert lines[2].split()[1:] == ["all", "5432,8080", "?udp/7946", "all"]
    lines = call("reach", "-f", "old", "--by", "label=app", "--to", "shop/db", "-o", "table").out.splitlines()
    assert lines[0].split("  ")[-1] == "app=db"
    assert [line.split("  ")[0] for line in lines[1:]] == ["app=db", "app=shell", "app=web", "outside"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by", "lable=app"),
        ("--by", "label="),
        *(("--by", "namespace", "-o", output) for output in sorted(OF_WORKLOADS)),
        ("--by", "pod", "-o", "tests"),
        ("--from", "shop/db", "--to", "shop/db", "-o", "tests"),
        ("--open", "--by", "namespace"),
        ("--open", "--from", "shop/db"),
        ("--open", "--hops", "2"),
        ("--from", "internet", "--hops", "2", "--by", "namespace"),
    ],
)
def test_what_cannot_be_together_is_refused(call: Call, arguments: tuple[str, ...]) -> None:
    result = call("reach", "-f", "old", *arguments)
    assert (result.code, result.out) == (2, "")
