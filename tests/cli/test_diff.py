"""`policyd diff` and `policyd test`, as they are called."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.answers import answer
from tests.cli.calls import ROOT, Call

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"
ASSERTIONS = """\
apiVersion: policyd/v1
kind: ConnectivityTest
allow:
  - {from: shop/deploy/web, to: shop/sts/db, port: 5432}
  - {name: the shop is open, from: 198.51.100.7, to: [shop/web], port: http}
deny:
  - {from: "*", to: shop/db, except: shop/web, port: 5432}
"""


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of the contract, named as it is there."""
    monkeypatch.chdir(EXAMPLE)
    return EXAMPLE


def test_diff_answers_the_example(call: Call, example: Path) -> None:
    assert answer(call, "diff", "old", "new", code=1) == json.loads((example / "diff.json").read_text())


def test_a_change_that_is_given_as_the_new_side_is_told(call: Call) -> None:
    """It would look like the end of everything."""
    change = "old/policies.yaml"
    said = call("diff", "old", change)
    assert f"put it over the old side: --with {change}" in said.err
    assert "put it over" not in call("diff", "old", "new").err + call("diff", "old", "--with", change).err


def test_a_directory_does_not_differ_from_itself(call: Call) -> None:
    found = answer(call, "diff", "old", "old", code=0)
    assert not found["opened"] + found["closed"] + found["isolation"]
    assert call("diff", "old", "old").out.startswith("no difference")


def test_text_names_what_opens_and_the_line(call: Call) -> None:
    result = call("diff", "old", "new", "--color", "never")
    assert result.code == 1
    assert result.out.splitlines() == [
        "connectivity: 1 opened, 0 closed",
        "+ guest/shell → shop/db  5432  shop/db ingress[0].from[1] (new/policies.yaml:22)",
    ]


@pytest.mark.parametrize(("output", "begins"), [("svg", "<svg "), ("html", "<!DOCTYPE html>\n")])
def test_pictures_are_alone_on_standard_output(call: Call, output: str, begins: str) -> None:
    result = call("diff", "old", "new", "-o", output)
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith(begins)
    assert "1 opened, 0 closed" in result.out
    overlaid = call("diff", "old", "--with", "new/policies.yaml", "-o", output, "--fail-on", "closed")
    assert (overlaid.code, "+5432" in overlaid.out) == (0, True)


def test_backwards_it_closes(call: Call) -> None:
    found = answer(call, "diff", "new", "old", code=1)
    assert [(each["from"], each["to"], each["allowed"]) for each in found["closed"]] == [
        ("guest/pod/shell", "shop/sts/db", {"TCP": "5432"})
    ]
    assert found["closed"][0]["rules"][0]["side"] == "old"


@pytest.mark.parametrize(
    ("sides", "on", "code"),
    [
        (("old", "new"), "opened", 1),
        (("old", "new"), "closed", 0),
        (("new", "old"), "opened", 0),
        (("new", "old"), "closed", 1),
        (("old", "new"), "never", 0),
    ],
)
def test_fail_on_says_what_fails(call: Call, sides: tuple[str, str], on: str, code: int) -> None:
    assert call("diff", *sides, "--fail-on", on).code == code


def test_only_leaves_out_the_other(call: Call) -> None:
    assert answer(call, "diff", "new", "old", "--only", "opened", code=1)["closed"] == []


def test_an_overlay_is_compared_with_what_it_is_put_over(call: Call) -> None:
    found = answer(call, "diff", "old", "--with", "new/policies.yaml", code=1)
    assert [each["from"] for each in found["opened"]] == ["guest/pod/shell"]


def test_what_an_overlay_is_put_over_is_read_once(call: Call) -> None:
    """Standard input has nothing to say a second time."""
    world = "---\n".join((EXAMPLE / "old" / name).read_text() for name in ("shop.yaml", "policies.yaml"))
    found = answer(call, "diff", "-", "--with", "new/policies.yaml", stdin=world, code=1)
    assert {each["side"] for each in found["endpoints"]} == {"both"}
    assert [each["from"] for each in found["opened"]] == ["guest/pod/shell"]


def test_a_new_workload_is_on_one_side(call: Call, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: extra, namespace: shop}, "
        "spec: {containers: [{name: c}]}}"
    )
    found = answer(call, "diff", "old", "--with", more, code=1)
    assert [each["id"] for each in found["endpoints"] if each["side"] == "new"] == ["shop/pod/extra"]
    assert not found["opened"]
    assert "shop/pod/extra" in call("diff", "old", "--with", more).out


def test_a_policy_that_goes_changes_isolation(call: Call, tmp_path: Path) -> None:
    less = tmp_path / "less"
    less.mkdir()
    for name in ("shop.yaml", "policies.yaml"):
        (less / name).write_text((EXAMPLE / "old" / name).read_text())
    policies = (less / "policies.yaml").read_text().split("---\n")
    (less / "policies.yaml").write_text("---\n".join(each for each in policies if "name: db" not in each))
    found = answer(call, "diff", "old", less, code=1)
    assert found["isolation"] == [
        {
            "endpoint": "shop/sts/db",
            "direction": "ingress",
            "old": ["shop/db", "shop/default-deny"],
            "new": ["shop/default-deny"],
        }
    ]
    assert "isolated by shop/db, shop/default-deny → shop/default-deny" in call("diff", "old", less).out


def test_a_revision_is_compared_with_what_lies_there(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("shop.yaml", "policies.yaml"):
        (tmp_path / name).write_text((EXAMPLE / "old" / name).read_text())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "old"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "policies.yaml").write_text((EXAMPLE / "new" / "policies.yaml").read_text())
    found = answer(call, "diff", "git:HEAD", ".", code=1)
    assert [each["to"] for each in found["opened"]] == ["shop/sts/db"]


def test_markdown_is_a_table_in_which_nothing_of_the_names_is_markup(call: Call) -> None:
    out = call("diff", "old", "new", "-o", "md").out
    assert "| 🔴 opens | guest/shell | shop/db | 5432 |" in out
    assert "ingress\\[0\\]" in out
    assert "no change" in call("diff", "old", "old", "-o", "md").out


def test_github_is_reported_the_line_that_opens(call: Call) -> None:
    first, *_ = call("diff", "old", "new", "-o", "github").out.splitlines()
    assert first == "::warning file=new/policies.yaml,line=22::opens guest/shell → shop/db 5432"
    back = call("diff", "new", "old", "-o", "github").out.splitlines()
    assert back[0] == "::notice::closes guest/shell → shop/db 5432"  # the line is not there any more


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("old",), 2, "what is it compared with?"),
        (("old", "nowhere"), 3, "nowhere"),
        (("-", "-"), 2, "standard input can be read once"),
        (("git:no-such-revision", "old"), 4, "git cannot read that"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    call: Call, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = call("diff", *arguments)
    assert result.code == code
    assert said in result.err
    assert "Traceback" not in result.err


def test_assertions_hold(call: Call) -> None:
    found = answer(call, "test", "-", "-f", "old", stdin=ASSERTIONS, code=0)
    assert [(each["passed"], each["judged"]) for each in found["results"]] == [
        (True, 1),
        (True, 1),
        (True, 1),
    ]
    assert call("test", "-", "-f", "old", stdin=ASSERTIONS).out.endswith(
        "3 passed, 0 failed, of 3 connections\n"
    )


def test_an_assertion_that_fails_says_why(call: Call) -> None:
    found = answer(call, "test", "-", "-f", "new", stdin=ASSERTIONS, code=1)
    [failed] = [each for each in found["results"] if not each["passed"]]
    assert failed["line"] == 7
    assert [each["from"]["id"] for each in failed["wrong"]] == ["guest/pod/shell"]
    out = call("test", "-", "-f", "new", "--color", "never", stdin=ASSERTIONS).out
    assert "FAILED  * but shop/web → shop/db:5432 is denied" in out
    assert "new/policies.yaml:22" in out


def test_tap_and_junit_have_every_assertion(call: Call) -> None:
    tap = call("test", "-", "-f", "new", "-o", "tap", stdin=ASSERTIONS).out.splitlines()
    assert tap[:2] == ["TAP version 13", "1..3"]
    assert [line.split(" - ")[0] for line in tap if "ok" in line[:6]] == ["ok 1", "ok 2", "not ok 3"]
    out = call("test", "-", "-f", "new", "-o", "junit", stdin=ASSERTIONS).out
    suite = ET.fromstring(out)  # noqa: S314 our own output
    assert suite.attrib["failures"] == "1"
    assert len(suite.findall("testcase/failure")) == 1


def test_what_is_not_known_fails_both_ways(call: Call) -> None:
    """Web has no address here, so whether it may use 7946/UDP depends on that."""
    for verb in ("allow", "deny"):
        text = f"""{{apiVersion: policyd/v1, kind: ConnectivityTest,
            {verb}: [{{from: shop/web, to: shop/db, port: 7946/UDP}}]}}"""
        assert call("test", "-", "-f", "old", stdin=text).code == 1


HEAD = "apiVersion: policyd/v1, kind: ConnectivityTest"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "apiVersion must be policyd/v1"),
        ("[]", "must be a mapping"),
        ("kind: Test", "kind must be ConnectivityTest"),
        (f"{{{HEAD}}}", "says neither"),
        (f"{{{HEAD}, alow: []}}", 'did you mean "allow"'),
        (f"{{{HEAD}, allow: [{{from: a, to: b}}]}}", "port is missing"),
        (f"{{{HEAD}, allow: [{{from: a, port: 1}}]}}", "to must name somebody"),
        (f"{{{HEAD}, allow: [{{from: a, to: b, port: 0}}]}}", "from 1 to 65535"),
        (f"{{{HEAD}, allow: [{{from: a, to: b, port: true}}]}}", "boolean"),
        ("a: {", "<stdin>:2:1: error"),
        ("a: 1\n---\nb: 2", "only one document"),
        ("a\0b", "control characters"),
    ],
)
def test_what_is_wrong_in_assertions_has_its_place(call: Call, text: str, said: str) -> None:
    result = call("test", "-", "-f", "old", stdin=text)
    assert result.code == 3
    assert said in result.err
    assert "Traceback" not in result.err


def test_somebody_who_is_not_there_fails_the_assertion(call: Call) -> None:
    text = ASSERTIONS.replace("shop/sts/db", "shop/sts/dbb")
    found = answer(call, "test", "-", "-f", "old", stdin=text, code=1)
    assert "there is no endpoint" in found["results"][0]["mistake"]
