"""Every diagnostic stands where the mistake was written: file, line and column, in YAML and in JSON."""

from __future__ import annotations

import json

import pytest

from policyd.errors import Diagnostic
from policyd.kube.objects import NetworkPolicy, Source
from policyd.manifests import json_text
from policyd.manifests.load import combine, load_manifest
from tests.oracle import Manifest

# One mistake in each text; `^` stands before the place that the diagnostic must name, and is taken out.
YAML = {
    "a value": """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec:
  podSelector: {}
  policyTypes:
  - Ingress
  - ^egress
""",
    "a value in flow style": """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: ^tcp}]}]}
""",
    "an unknown key": """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: a
spec:
  podSelector: {}
  ingress:
  - ^form:
    - podSelector: {}
""",
    "a label's key": """\
apiVersion: v1
kind: Namespace
metadata:
  name: a
  labels:
    ^"-k": v
""",
    "something missing": """\
---
apiVersion: v1
kind: Pod
^metadata:
  labels: {}
""",
    "the second document": """\
apiVersion: v1
kind: Namespace
metadata:
  name: a
---
# a comment

apiVersion: v1
kind: Namespace
metadata:
  name: ^A
""",
    "an item of a list": """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: v1
  kind: Namespace
  metadata: {name: ^A}
""",
    "behind characters of several bytes": """\
apiVersion: v1
kind: Namespace
metadata: {annotations: {"ключ": "漢字 🙂"}, name: ^A}
""",
    "an object that is none": "^- text\n",
    "a duplicate key": """\
apiVersion: v1
kind: Namespace
metadata:
  name: a
  ^name: b
""",
    "a tag": """\
apiVersion: v1
kind: Namespace
metadata:
  name: ^!!python/name:os.system a
""",
    "a tab": """\
apiVersion: v1
kind: Namespace
metadata:
^\tname: a
""",
}

JSON = {
    "a value": """\
{
  "apiVersion": "v1",
  "kind": "Namespace",
  "metadata": {"name": ^"A"}
}
""",
    "an unknown key": """\
{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"},
 "spec": {"podSelector": {}, ^"ingres": []}}
""",
    "something missing": """\
{"apiVersion": "v1",
 "kind": "Pod",
 ^"metadata": {}}
""",
    "a duplicate key": """\
{"apiVersion": "v1", "kind": "Namespace",
 "metadata": {
   "name": "a",
   ^"name": "b"}}
""",
    "an item of a list": """\
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "annotations": {"a\\"{": "[\\\\"}}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ^"A"}}
]}
""",
    "a duplicate key in an item of a list": """\
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", ^"name": "c"}}
]}
""",
    "a comma that is missing in a list": """\
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
  ^{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}
]}
""",
    "an item of a list in a list": """\
{"apiVersion": "v1", "items": [{"apiVersion": "v1", "kind": "PodList", "items": [
  {"metadata": {"name": "b"}}, {"metadata": {"name": ^"A"}}]}], "kind": "List"}
""",
    "the second of a stream": """\
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
{"apiVersion": "v1", "kind": "Namespace",
  "metadata": {"name": ^"A"}}
""",
    "text behind the end": """\
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
^garbage
""",
    "a syntax error": """\
{"apiVersion": "v1",
 "kind": "Namespace" ^"metadata": {"name": "a"}}
""",
}


def told(text: str) -> Diagnostic:
    [diagnostic] = load_manifest(text.encode(), "f")[1]
    return diagnostic


def place(text: str) -> tuple[int, int]:
    before = text[: text.index("^")]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize("name", YAML)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_yaml(name: str, newline: str) -> None:
    diagnostic = told(YAML[name].replace("^", "").replace("\n", newline))
    assert (diagnostic.line, diagnostic.column) == place(YAML[name]), str(diagnostic)


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json(name: str, mark: str) -> None:
    diagnostic = told(mark + JSON[name].replace("^", ""))
    assert (diagnostic.line, diagnostic.column) == place(JSON[name]), str(diagnostic)


POLICY: Manifest = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "a"},
    "spec": {"podSelector": {}, "ingress": [{}, {}]},
}


def test_objects_and_rules_know_where_they_were_written() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [POLICY]}, indent=1)
    objects, _ = load_manifest(text.encode(), "f")
    [policy] = objects
    assert isinstance(policy, NetworkPolicy)
    lines = text.splitlines()
    assert policy.source == Source("f", 5)
    assert lines[4].strip() == "{"
    assert policy.ingress is not None
    rules = [rule.source.line for rule in policy.ingress if rule.source is not None]
    assert [lines[line - 1].strip() for line in rules] == ["{},", "{}"]


def test_in_a_long_text_a_rule_stands_where_its_object_begins() -> None:
    """To look for every rule's line would take longer than to decode a large cluster."""
    filler = {**POLICY, "metadata": {"name": "b", "annotations": {"k": "v" * json_text.MAX_WITH_LINES}}}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [filler, POLICY]}, indent=1)
    objects, _ = load_manifest(text.encode(), "f")
    policy = objects[1]
    assert isinstance(policy, NetworkPolicy)
    assert policy.ingress is not None
    assert policy.source is not None
    assert text.splitlines()[policy.source.line - 1].strip() == "{"
    assert {rule.source for rule in policy.ingress} == {policy.source}


def test_a_mistake_in_a_long_text_has_its_place() -> None:
    filler = {**POLICY, "metadata": {"name": "b", "annotations": {"k": "v" * json_text.MAX_WITH_LINES}}}
    bad = {**POLICY, "spec": {"podSelector": {}, "policyTypes": ["egress"]}}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [filler, bad]}, indent=1)
    diagnostic = told(text)
    line = text.splitlines()[diagnostic.line - 1]
    assert line[diagnostic.column - 1 :] == '"egress"'


def test_the_second_of_two_equal_objects_is_reported_with_the_place_of_the_first() -> None:
    text = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
    first, _ = load_manifest(text, "f")
    second, _ = load_manifest(b"# again\n" + text, "g")
    assert [str(d) for d in combine([*first, *second])] == [
        "g:2:1: error: Namespace a is given twice; the first is at f:1"
    ]


def test_objects_of_one_name_but_another_kind_or_namespace_are_two() -> None:
    text = b"""\
{"apiVersion": "v1", "kind": "List", "items": [
 {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
 {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}},
 {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
 {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}}]}
"""
    objects, diagnostics = load_manifest(text, "f")
    assert (len(objects), diagnostics, combine(objects)) == (4, (), ())


def test_the_name_of_a_file_is_reported_on_one_line() -> None:
    """It becomes a comment in the ruleset."""
    [diagnostic] = load_manifest(b"- a", "x\ndelete table inet x")[1]
    assert diagnostic.file == "x\\ndelete table inet x"
