"""Where findings are, how they are switched off, and that edits change exactly what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from policyd.lint.choice import Choice
from policyd.lint.finding import Edit
from policyd.lint.fix import fix
from policyd.lint.suppress import ignored_in, ignored_lines
from policyd.lint.table import RULES
from tests.lint.linting import gathered, report, to_api

WRONG = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api
  namespace: shop
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from:
        - podSelector:
            matchLabels: {app: wbe}
"""


def edits(*texts: str | bytes) -> list[Edit]:
    return [f.suggestion.edit for f in report(*texts).findings if f.suggestion and f.suggestion.edit]


def leaves(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], object]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from leaves(entry, (*path, number))
    else:
        yield path, value


def test_line_and_column_are_those_of_the_peer() -> None:
    [found] = report(WRONG).findings
    assert (found.file, found.line, found.column) == ("p0.yaml", 10, 11)


def test_in_a_list_and_in_json_places_are_found_too() -> None:
    raw = {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(WRONG)]}
    [found] = report(json.dumps(raw, indent=1)).findings
    assert found.path == "spec.ingress[0].from[0]"
    lines = json.dumps(raw, indent=1).split("\n")
    assert lines[found.line - 1][found.column - 1 :] == "{"
    assert "podSelector" in lines[found.line]
    assert "from" in lines[found.line - 2]
    assert [(e.old, e.new) for e in edits(json.dumps(raw, indent=1))] == [('"wbe"', '"web"')]


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("        - podSelector:  # policyd: ignore NP102 the nightly run\n", True),
        ("        - podSelector:  # policyd:ignore NP101, NP102\n", True),
        ("        # policyd: ignore NP102\n        - podSelector:\n", True),
        ("        # policyd: ignore NP102\n        # it comes at night\n        - podSelector:\n", True),
        ("        - podSelector:  # policyd: ignore NP101\n", False),
        ("        - podSelector:  # policyd: ignore NP1022\n", False),
        ("        - podSelector:  # ignore NP102\n", False),
        ("        # policyd: ignore NP102\n\n        - podSelector:\n", False),
    ],
)
def test_a_comment_switches_a_finding_off(line: str, ignored: bool) -> None:
    found = report(WRONG.replace("        - podSelector:\n", line))
    assert (len(found.findings), found.ignored) == ((0, 1) if ignored else (1, 0))


def test_a_comment_is_for_its_line_only() -> None:
    found = report(WRONG.replace("spec:\n", "spec:  # policyd: ignore NP102\n"))
    assert (len(found.findings), found.ignored) == (1, 0)


@pytest.mark.parametrize(
    ("text", "ignored"), [("NP102 why", 1), ("NP101,NP102", 1), ("NP101", 0), ("all", 0)]
)
def test_an_annotation_switches_a_finding_off(text: str, ignored: int) -> None:
    annotated = WRONG.replace(
        "  name: api\n", f'  name: api\n  annotations: {{policyd.io/lint-ignore: "{text}"}}\n'
    )
    assert report(annotated).ignored == ignored
    assert len(report(annotated).findings) == 1 - ignored


def test_odd_annotations_and_comments_switch_nothing_off() -> None:
    odd: tuple[object, ...] = (None, [], {"annotations": [1]}, {"annotations": {}})
    assert {ignored_in({"metadata": metadata}) for metadata in odd} == {frozenset()}
    assert ignored_lines(b"\xff policyd: ignore NP102") == {}


def test_what_is_ignored_by_a_flag_is_counted() -> None:
    found = report(WRONG, choice=Choice(ignore=("NP1",)))
    assert (found.findings, found.ignored) == ((), 1)


BAD = [pytest.param(rule.bad, id=rule.id) for rule in RULES if rule.fix]
FORMS = [
    WRONG.replace("{app: wbe}", '{app: "wbe"}'),
    WRONG.replace("{app: wbe}", "{app: 'wbe'}"),
    WRONG.replace("{app: wbe}", "\n              app: wbe  # wbe, as it was\n"),
    WRONG.replace("\n", "\r\n"),
    WRONG.replace("{app: wbe}", "{ap: web}"),
    json.dumps(yaml.safe_load(WRONG), indent=2),
    json.dumps(yaml.safe_load(WRONG)),
    to_api("[{from: [{podSelector: {}}]}]")
    .replace("[Ingress]", "\n    - Egress")
    .replace("ingress:", "egress: []\n  ingress:"),
    to_api("[{from: [{podSelector: {}}], ports: [{port: 80}]}]"),
    "# überall Ä\n" + WRONG.replace("namespace: shop", "namespace: shop\n  labels: {ä: b}").replace("ä", "a"),
]


@pytest.mark.parametrize("text", [*BAD, *FORMS])
def test_an_edit_changes_one_value_and_the_finding_is_gone(text: str) -> None:
    """The law of --fix: what it says, all of it, and nothing else."""
    wanted = edits(text)
    assert wanted
    fixed = fix("p0.yaml", text.encode(), wanted)
    assert (fixed.made, fixed.left) == (tuple(sorted(wanted)), ())
    assert edits(fixed.text) == []
    before, after = (dict(leaves(list(yaml.safe_load_all(t)))) for t in (text, fixed.text.decode()))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert 1 <= len(changed) <= 2 * len(wanted)
    # Byte by byte: what is not named stands as it stood.
    expected = text
    for edit in sorted(wanted, reverse=True):
        at = sum(len(line) + 1 for line in text.split("\n")[: edit.line - 1]) + edit.column - 1
        assert text[at : at + len(edit.old)] == edit.old
        expected = expected[:at] + edit.new + expected[at + len(edit.old) :]
    assert fixed.text.decode() == expected


def test_what_others_refer_to_is_left() -> None:
    """An anchor: the same text is another policy's, too."""
    text = (
        WRONG.replace("{app: wbe}", "&wbe {app: wbe}") + "    - from: [{podSelector: {matchLabels: *wbe}}]\n"
    )
    wanted = edits(text)
    fixed = fix("p0.yaml", text.encode(), wanted)
    assert fixed.text == text.encode()
    assert fixed.made == ()


def test_an_edit_whose_text_is_not_there_is_left() -> None:
    for edit in (
        Edit("p0.yaml", 11, 33, "web", "wbe"),
        Edit("p0.yaml", 99, 1, "web", "wbe"),
        Edit("p0.yaml", 0, 1, "a", "b"),
        Edit("p0.yaml", 1, 999, "a", "b"),
    ):
        fixed = fix("p0.yaml", WRONG.encode(), [edit])
        assert (fixed.text, fixed.made) == (WRONG.encode(), ())


def test_what_a_server_refuses_is_a_finding_where_a_rule_knows_it() -> None:
    text = to_api("[{from: [{podSelector: {matchLabels: {app: 1.10}}}]}]")
    [found] = report(text).findings
    assert (found.rule, found.level) == ("NP005", "error")
    assert [(e.old, e.new) for e in edits(text)] == [("1.10", '"1.10"')]
    assert gathered(text).diagnostics != []
