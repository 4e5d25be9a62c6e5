"""What is printed: each format is read again, and the same input gives the same bytes."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from policyd.lint.as_json import schema
from policyd.lint.finding import Report
from policyd.lint.render import (
    PRINTERS,
    print_github,
    print_json,
    print_junit,
    print_md,
    print_sarif,
    print_text,
    summary,
)
from policyd.lint.table import RULES
from tests.lint.linting import report

ALL = [rule.bad for rule in RULES]
NAMED = [text.replace("metadata: {name: ", f"metadata: {{name: r{n}-") for n, text in enumerate(ALL)]


@pytest.fixture(scope="module")
def found() -> Report:
    return report(*NAMED)


def test_json_is_by_its_schema(found: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    for each in (found, report(), report(shop=False), *map(report, ALL)):
        jsonschema.validate(json.loads(print_json(each)), schema())
    printed = json.loads(print_json(found))
    assert printed["summary"]["policies"] == found.policies
    assert sum(printed["summary"][level] for level in ("error", "warn", "note")) == len(found.findings)


def test_the_schema_says_no() -> None:
    bad = json.loads(print_json(report(*NAMED)))
    bad["findings"][0]["severity"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema())


def test_findings_are_sorted(found: Report) -> None:
    printed = json.loads(print_json(found))["findings"]
    keys = [(f["file"], f["line"], f["column"], f["rule"]) for f in printed]
    assert keys == sorted(keys)


def test_the_same_input_gives_the_same_bytes() -> None:
    for printer in (*PRINTERS.values(), print_text):
        assert printer(report(*NAMED)) == printer(report(*NAMED))


def test_text_has_a_line_for_each(found: Report) -> None:
    lines = print_text(found).splitlines()
    assert len(lines) == len(found.findings)
    assert all(re.match(r"\S+:\d+:\d+: NP\d{3} (error|warn |note ) ", line) for line in lines)
    assert "\x1b[1;31m" in print_text(found, colored=True)


def test_github_escapes_what_would_end_a_command(found: Report) -> None:
    lines = print_github(found).splitlines()
    assert len(lines) == len(found.findings)
    assert all(
        re.match(r"::(error|warning|notice) file=[^,]+,line=\d+,col=\d+,title=[^:]+::", line)
        for line in lines
    )


def test_sarif_places_and_edits(found: Report) -> None:
    run = json.loads(print_sarif(found, "1"))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(found.findings)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
    assert any("fixes" in result for result in run["results"])


def test_junit_counts_what_fails(found: Report) -> None:
    suite = ET.fromstring(print_junit(found)).find("testsuite")  # noqa: S314 (it is our own text)
    assert suite is not None
    assert len(suite.findall("testcase")) == len(found.findings) == int(suite.get("tests", ""))
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", "")) > 0
    clean = ET.fromstring(print_junit(report())).find("testsuite")  # noqa: S314 (the same)
    assert clean is not None
    assert (clean.get("tests"), clean.get("failures")) == ("1", "0")


def test_md_is_a_table(found: Report) -> None:
    rows = [line for line in print_md(found).splitlines() if line.startswith("| ")]
    assert len(rows) == len(found.findings) + 1
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)


def test_the_last_line_counts(found: Report) -> None:
    assert summary(report()) == "nothing found in 0 policies"
    assert re.fullmatch(r"\d+ errors, \d+ warnings, \d+ notes in \d+ policies", summary(found))
