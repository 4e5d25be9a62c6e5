"""What `policyd test` found, as text, TAP, JUnit and JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from policyd.ask.answers import API_VERSION, verdict_json
from policyd.ask.assertions import Result
from policyd.ask.why import Verdict
from policyd.cli.why_text import why_text
from policyd.kube.syntax import printable

#: Connections that are not as they should be, of one assertion; the rest is counted.
_SHOWN = 5
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
#: Whether it passed, what it says, where it is written, and why it failed, in lines.
_Row = tuple[bool, str, str, list[str]]


def _rows(results: Sequence[Result]) -> Iterator[_Row]:
    for each in results:
        source = each.assertion.source
        yield (
            each.passed,
            printable(each.assertion.title),
            f"{source.file}:{source.line}",
            list(_reasons(each)),
        )


def _reasons(result: Result) -> Iterator[str]:
    if result.mistake:
        yield result.mistake
    for verdict in result.wrong[:_SHOWN]:
        yield from _why(verdict)
    if len(result.wrong) > _SHOWN:
        yield f"and {len(result.wrong) - _SHOWN} more of {result.judged} connections"


def _why(verdict: Verdict) -> Iterator[str]:
    yield from why_text(verdict, "", colored=False).splitlines()


def report_text(results: Sequence[Result], *, colored: bool) -> str:
    """For a terminal: what failed, with its why, and how many passed."""
    lines = []
    for passed, title, place, reasons in _rows(results):
        word, color = ("ok", _GREEN) if passed else ("FAILED", _RED)
        lines.append(f"{color}{word}{_PLAIN}  {title}" if colored else f"{word}  {title}")
        if not passed:
            lines.extend(f"    {line}" for line in (printable(place), *map(printable, reasons)))
    failed = sum(not each.passed for each in results)
    connections = sum(each.judged for each in results)
    lines.append(f"{len(results) - failed} passed, {failed} failed, of {connections} connections")
    return "\n".join(lines) + "\n"


def report_tap(results: Sequence[Result]) -> str:
    """Test Anything Protocol, version 13."""
    lines = ["TAP version 13", f"1..{len(results)}"]
    for number, (passed, title, place, reasons) in enumerate(_rows(results), 1):
        lines.append(f"{'ok' if passed else 'not ok'} {number} - {title.replace('#', '')}")
        if not passed:
            lines.extend(f"# {line}" for line in (printable(place), *map(printable, reasons)))
    return "\n".join(lines) + "\n"


def report_junit(results: Sequence[Result]) -> str:
    """JUnit's XML, as CI systems read it."""
    failed = sum(not each.passed for each in results)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="policyd" tests="{len(results)}" failures="{failed}">',
    ]
    for passed, title, place, reasons in _rows(results):
        case = f"<testcase name={quoteattr(title)} classname={quoteattr(printable(place))}"
        if passed:
            lines.append(f"  {case}/>")
        else:
            text = escape("\n".join(map(printable, reasons)))
            first = quoteattr(printable(reasons[0]) if reasons else "failed")
            lines.append(f"  {case}><failure message={first}>{text}</failure></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def report_json(results: Sequence[Result]) -> dict[str, Any]:
    """`kind: TestReport`."""
    failed = sum(not each.passed for each in results)
    return {
        "apiVersion": API_VERSION,
        "kind": "TestReport",
        "results": [_result_json(each) for each in results],
        "summary": {"passed": len(results) - failed, "failed": failed},
    }


def _result_json(result: Result) -> dict[str, Any]:
    assertion = result.assertion
    verdicts = [verdict_json(each) for each in result.wrong]
    for each in verdicts:
        del each["apiVersion"], each["kind"]
    return {
        "name": assertion.title,
        "file": assertion.source.file or None,
        "line": assertion.source.line or None,
        "expected": assertion.expected,
        "passed": result.passed,
        "judged": result.judged,
        "mistake": result.mistake or None,
        "wrong": verdicts,
    }


FORMATS: dict[str, Callable[[Sequence[Result]], str]] = {"tap": report_tap, "junit": report_junit}
