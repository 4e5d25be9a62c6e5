"""A report for people and for the programs that show it to them: text, md, github, junit, sarif."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from policyd.kube.syntax import printable
from policyd.lint.as_json import findings_json
from policyd.lint.finding import LEVELS, Finding, Level, Report
from policyd.lint.table import BY_ID, RULES

_GITHUB: Final[Mapping[Level, str]] = {"error": "error", "warn": "warning", "note": "notice"}
_SARIF: Final[Mapping[Level, str]] = {"error": "error", "warn": "warning", "note": "note"}
_COLORS: Final[Mapping[Level, str]] = {"error": "\x1b[1;31m", "warn": "\x1b[1;33m", "note": "\x1b[1;36m"}
_PLAIN: Final = "\x1b[0m"


def print_text(report: Report, *, colored: bool = False) -> str:
    """A line for each finding."""
    lines = (_line(finding, colored=colored) for finding in report.findings)
    return "".join(f"{line}\n" for line in lines)


def _line(finding: Finding, *, colored: bool) -> str:
    level: str = f"{finding.level:<6}"
    if colored:
        level = f"{_COLORS[finding.level]}{level}{_PLAIN}"
    return f"{place_of(finding)}: {finding.rule} {level} {printable(finding.sentence)}"


def place_of(finding: Finding) -> str:
    """`shop/api.yaml:8:7`, as far as it is known."""
    if not finding.line:
        return finding.file or "in the cluster"
    return f"{finding.file}:{finding.line}:{finding.column}"


def summary(report: Report) -> str:
    """`1 error, 2 warnings in 202 policies`, and what else there is to know of the report."""
    counts = [(report.count(level), "warning" if level == "warn" else level) for level in LEVELS]
    found = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n) or "nothing found"
    policies = f"{report.policies} {'policy' if report.policies == 1 else 'policies'}"
    more = [
        f"{n} {what}"
        for n, what in (
            (report.ignored, "ignored"),
            (report.skipped, "file skipped" if report.skipped == 1 else "files skipped"),
        )
        if n
    ]
    tail = f" ({', '.join(more)})" if more else ""
    return f"{found} in {policies}{tail}"


def print_json(report: Report) -> str:
    """The report by its schema."""
    return json.dumps(findings_json(report), indent=2, ensure_ascii=False) + "\n"


def print_github(report: Report) -> str:
    """Workflow commands, which GitHub shows at the lines of a pull request."""
    lines: list[str] = []
    for finding in report.findings:
        place = {"file": finding.file, "line": finding.line, "col": finding.column}
        where = ",".join(f"{key}={_github(str(value), ':,')}" for key, value in place.items() if value)
        title = f"{finding.rule} {BY_ID[finding.rule].title}"
        where = f"{where}{',' if where else ''}title={_github(title, ':,')}"
        lines.append(f"::{_GITHUB[finding.level]} {where}::{_github(finding.sentence)}\n")
    return "".join(lines)


def _github(text: str, more: str = "") -> str:
    for sign in f"%\r\n{more}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def print_md(report: Report) -> str:
    """A table, as for a comment in a pull request."""
    if not report.findings:
        return f"policyd lint: {summary(report)}.\n"
    rows = "".join(
        f"| {finding.level} | {finding.rule} | `{_cell(place_of(finding))}` | {_cell(finding.sentence)} |\n"
        for finding in report.findings
    )
    return f"policyd lint: {summary(report)}.\n\n| | rule | where | what |\n|---|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def print_junit(report: Report) -> str:
    """A test case for each finding, or one that passed; notes do not fail."""
    failing = [finding for finding in report.findings if finding.level != "note"]
    cases = (
        "".join(map(_case, report.findings)) or '    <testcase classname="policyd lint" name="all rules"/>\n'
    )
    tests = len(report.findings) or 1
    counts = f'tests="{tests}" failures="{len(failing)}"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites {counts}>\n  <testsuite name="policyd lint" {counts}>\n'
        f"{cases}  </testsuite>\n</testsuites>\n"
    )


def _case(finding: Finding) -> str:
    name = quoteattr(f"{finding.rule} {printable(str(finding.object))} {printable(finding.path)}")
    case = f"    <testcase classname={quoteattr(printable(finding.file or 'cluster'))} name={name}"
    text = escape(f"{printable(place_of(finding))}: {printable(finding.sentence)}")
    if finding.level == "note":
        return f"{case}>\n      <system-out>{text}</system-out>\n    </testcase>\n"
    message = quoteattr(printable(finding.sentence))
    body = f"      <failure type={quoteattr(finding.level)} message={message}>{text}</failure>\n"
    return f"{case}>\n{body}    </testcase>\n"


def print_sarif(report: Report, version: str) -> str:
    """SARIF 2.1.0, as code scanning reads it."""
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why.replace("\n", " ")},
            "defaultConfiguration": {"level": _SARIF[rule.level]},
        }
        for rule in RULES
    ]
    numbers = {rule.id: number for number, rule in enumerate(RULES)}
    run = {
        "tool": {"driver": {"name": "policyd", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, numbers[finding.rule]) for finding in report.findings],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _result(finding: Finding, number: int) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": _SARIF[finding.level],
        "message": {"text": finding.sentence},
    }
    if not finding.line:
        return result
    artifact = {"uri": _uri(finding.file)}
    region = {"startLine": finding.line, "startColumn": finding.column}
    result["locations"] = [{"physicalLocation": {"artifactLocation": artifact, "region": region}}]
    edit = finding.suggestion.edit if finding.suggestion else None
    if edit is not None and finding.suggestion is not None:
        deleted = {
            "startLine": edit.line,
            "startColumn": edit.column,
            "endColumn": edit.column + len(edit.old),
        }
        replacement = {"deletedRegion": deleted, "insertedContent": {"text": edit.new}}
        change = {"artifactLocation": artifact, "replacements": [replacement]}
        result["fixes"] = [{"description": {"text": finding.suggestion.text}, "artifactChanges": [change]}]
    return result


def _uri(file: str) -> str:
    keep = "/-_.~"
    return "".join(
        c if c.isascii() and (c.isalnum() or c in keep) else "".join(f"%{b:02X}" for b in c.encode())
        for c in file
    )


#: What `-o` takes, beside text and sarif, which need to know more.
PRINTERS: Final[Mapping[str, Callable[[Report], str]]] = {
    "json": print_json,
    "github": print_github,
    "junit": print_junit,
    "md": print_md,
}
