"""A report as JSON, and the schema of it."""

from __future__ import annotations

from typing import Final

from policyd.lint.finding import LEVELS, Finding, Report, Suggestion

API_VERSION: Final = "policyd/v1"
KIND: Final = "Findings"


def findings_json(report: Report) -> dict[str, object]:
    """The report as JSON has it; the same report gives the same."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "world": report.world,
        "because": list(report.partial),
        "findings": [_finding(finding) for finding in report.findings],
        "summary": {
            **{str(level): report.count(level) for level in LEVELS},
            "policies": report.policies,
            "skipped": report.skipped,
            "ignored": report.ignored,
        },
    }


def _finding(finding: Finding) -> dict[str, object]:
    named = finding.object
    return {
        "rule": finding.rule,
        "severity": finding.level,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "object": {"kind": named.kind, "namespace": named.namespace, "name": named.name},
        "path": finding.path,
        "message": finding.message,
        "suggestion": None if finding.suggestion is None else _suggestion(finding.suggestion),
    }


def _suggestion(suggestion: Suggestion) -> dict[str, object]:
    edit = suggestion.edit
    found: dict[str, object] = {"text": suggestion.text, "replace": suggestion.replace}
    if edit is not None:
        found["edit"] = {"line": edit.line, "column": edit.column, "old": edit.old, "new": edit.new}
    return found


def schema() -> dict[str, object]:
    """The JSON schema (2020-12) of what `policyd lint -o json` prints."""
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0}
    edit = _object({"line": count, "column": count, "old": text, "new": text})
    suggestion = _object(
        {"text": text, "replace": {"type": ["string", "null"]}, "edit": edit}, optional=("edit",)
    )
    finding = _object(
        {
            "rule": {"type": "string", "pattern": "^NP[0-9]{3}$"},
            "severity": {"enum": list(LEVELS)},
            "file": text,
            "line": count,
            "column": count,
            "object": _object({"kind": text, "namespace": text, "name": text}),
            "path": text,
            "message": text,
            "suggestion": {"anyOf": [{"type": "null"}, suggestion]},
        }
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What policyd lint finds",
        **_object(
            {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": KIND},
                "world": {"enum": ["complete", "partial"]},
                "because": {"type": "array", "items": text},
                "findings": {"type": "array", "items": finding},
                "summary": _object(dict.fromkeys((*LEVELS, "policies", "skipped", "ignored"), count)),
            }
        ),
    }


def _object(properties: dict[str, object], optional: tuple[str, ...] = ()) -> dict[str, object]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
