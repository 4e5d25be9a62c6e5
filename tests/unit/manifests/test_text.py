"""Texts that people write by mistake: each gets a sentence that can be acted on, and none an exception."""

from __future__ import annotations

import json

import pytest

from policyd.kube.objects import Pod
from policyd.kube.reading import ReadingOptions
from policyd.manifests import load as manifests
from policyd.manifests.causes import HELM, WORKFLOW
from policyd.manifests.load import load_manifest, size_mistake

MAPPING = "a manifest is a mapping with apiVersion, kind and metadata"
HEAD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"


def labelled(value: str) -> str:
    return f"{HEAD}  labels:\n    k: {value}\n"


def bomb() -> str:
    """Nine lines that stand for a billion values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines.extend(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    return "\n".join(lines)


NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"
CI = "on: push\njobs:\n  - name: ${{ matrix.os }}\n"
A = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})

# What is given, and what must be said.
TRAPS: dict[str, tuple[str | bytes, str]] = {
    "duplicate keys": (f"{HEAD}  name: b\n", 'f:5:3: error: duplicate key "name"; see line 4'),
    "on": (labelled("on"), "must be a string, not the boolean true; YAML reads on so: put it in quotes"),
    "off": (labelled("off"), "not the boolean false; YAML reads off so: put it in quotes"),
    "yes": (labelled("Yes"), "not the boolean true; YAML reads Yes so: put it in quotes"),
    "y": (labelled("y"), "not the boolean true; YAML reads y so: put it in quotes"),
    "a number": (labelled("1"), "not the number 1; YAML reads 1 so: put it in quotes"),
    "an octal number": (labelled("010"), "not the number 8; YAML reads 010 so: put it in quotes"),
    "a version": (labelled("1.10"), "not the number 1.1; YAML reads 1.10 so: put it in quotes"),
    "a large number": (labelled("1e3"), "not the number 1000.0; YAML reads 1e3 so: put it in quotes"),
    "a hash that looks like a number": (labelled("12e45"), "put it in quotes"),
    "null written out": (f"{HEAD}  namespace: [a]\n", "metadata.namespace: must be a string, not a list"),
    "infinity": (labelled(".inf"), ".inf is not a number that a manifest can hold"),
    "a key that is a number": (f"{HEAD}  labels: {{010: a}}\n", "the key 010 as 8; put it in quotes"),
    "a key that is null": (f"{HEAD}  labels: {{~: a}}\n", "a key must not be null"),
    "a key that is a list": (f"{HEAD}  labels: {{[a]: a}}\n", "a key must be plain text"),
    "tabs": (f"{HEAD}\tlabels: {{}}\n", "f:5:1: error: there is a tab in the indentation; YAML allows"),
    "a template": ("metadata:\n  name: {{ .Values.name }}\n", f"f:2:9: error: {HELM}"),
    "a template that is YAML": (f"{HEAD}spec: {{{{ .Values.spec }}}}\n", HELM),
    "a template with an include": ('{{- include "web.labels" . }}\nkind: Pod\n', HELM),
    "two fields of one name": (f"{HEAD}spec: {{}}\nspec: {{}}\n", 'f:6:1: error: duplicate key "spec"'),
    "a bomb": (bomb(), "the aliases up to here stand for more than 100000 values"),
    "an alias in itself": ("a: &a [*a]\n", 'the alias "a" is inside of its own anchor'),
    "an alias of nothing": ("a: *b\n", 'there is no anchor "b" above this alias'),
    "deep nesting": ("[" * 5000, "nested too deeply"),
    "deep nesting in YAML": ("- " * 5000, "nested deeper than 100 levels"),
    "deep nesting in JSON": ("[" * 5000 + "]" * 5000, "nested too deeply"),
    "a NUL": (f"{HEAD}\0", "f:5:1: error: control character 0x00: this is not a text file"),
    "UTF-16 with a mark": (HEAD.encode("utf-16"), "f:1:1: error: the file is UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": (HEAD.encode("utf-16-le"), "control character 0x00: this is not a text file"),
    "Latin-1": ("metadata: {name: \xe4}".encode("latin-1"), "byte 0xe4 is not UTF-8 text"),
    "a program": (b"\x7fELF\x02\x01\x01\0\0", "this is not a text file"),
    "an archive": (b"\x1f\x8b\x08\0\0", "byte 0x8b is not UTF-8 text"),
    "a python object": (labelled('!!python/object/apply:os.system ["true"]'), "has no meaning in a manifest"),
    "a tag of somebody": (labelled("!vault secret"), 'the tag "!vault" has no meaning in a manifest'),
    "binary": (labelled("!!binary aGk="), "has no meaning in a manifest"),
    "JSON with garbage after it": (
        '{"kind": "Pod"} x',
        "f:1:17: error: not valid JSON: the text goes on after",
    ),
    "JSON that ends too early": ('{"apiVersion": "v1", "kind": "Po', "not valid JSON"),
    "JSON with a comment": ('{"kind": "List" // all\n}', "not valid JSON"),
    "JSON that is not a number": ('{"kind": NaN}', "NaN is not a number that a manifest can hold"),
    "JSON with duplicate keys": ('{"a": 1,\n"a": 1}', 'f:2:1: error: duplicate key "a"; see line 1'),
    "a list of objects": ("- apiVersion: v1\n", f"{MAPPING}, not a list"),
    "a sentence": ("hello world", f'{MAPPING}, not the string "hello world"'),
    "HTML": ("<!DOCTYPE html>\n<html><head>\n<title>404: Not Found</title>", MAPPING),
    "a List whose items are none": ("kind: List\nitems: {}\n", "items: must be a list, not a mapping"),
    "a List of texts": ("kind: List\nitems: [a]\n", 'not the string "a"'),
    "an indentation that is wrong": (f"{HEAD}   labels: {{}}\n", "f:5:10: error: not valid YAML"),
    "an unclosed quote": (labelled('"v'), "not valid YAML: found unexpected end of stream"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_has_a_sentence(name: str) -> None:
    text, sentence = TRAPS[name]
    objects, diagnostics = load_manifest(text if isinstance(text, bytes) else text.encode(), "f")
    assert sentence in "\n".join(map(str, diagnostics))
    if any(diagnostic.severity == "error" for diagnostic in diagnostics):
        assert objects == ()


# Text that is no part of a manifest: what is given, and the one thing that is said.
BESIDE = {
    "a workflow": (CI, f"f:1:1: error: {WORKFLOW}"),
    "a workflow that is no YAML": (f"{CI}  - if: {{\n", f"f:1:1: error: {WORKFLOW}"),
    "two objects without a separator": (
        HEAD + NODE,
        'f:5:1: error: "apiVersion" is here again, after line 1',
    ),
    "three of which two lack one": (f"{HEAD}{NODE}---\n{HEAD}", "is a `---` missing before line 5?"),
    "parts that would not go together": (f"{HEAD}data: {{}}\n{NODE}", "is a `---` missing before line 6?"),
    "a kind before its version": (NODE + "kind: Pod\napiVersion: v1\n", "is a `---` missing before line 4?"),
    "kubectl's warning": (f"Warning: v1 is old\n{A}\n", "f:1:1: error: this line is a warning of kubectl's"),
    "kubectl's warning in between": (f"{HEAD}---\nWarning: old\n{HEAD}", "f:6:1: error: this line is a warn"),
    "kubectl's error": (
        f"Error from server (Forbidden): no\n{HEAD}",
        "f:1:1: error: this line is an error of",
    ),
    "kubectl's error behind JSON": (
        f"{A}\nError from server: no\n",
        "f:2:1: error: this line is an error of",
    ),
    "no server": ("Unable to connect to the server: EOF\n", "f:1:1: error: this line is an error of"),
    "helm's notes": (f"---\n{HEAD}\nNOTES:\n1. Get it\n", "f:7:1: error: this is what `helm install` says"),
    "helm's head": (
        f"NAME: x\nLAST DEPLOYED: now\nMANIFEST:\n---\n{HEAD}",
        "f:1:1: error: this is what `helm",
    ),
    "joined files": (f"{HEAD}\ufeff{NODE}", "f:5:1: error: a byte order mark inside a document: were two"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_no_manifest_is_named_for_what_it_is_and_nothing_else_is_said(name: str) -> None:
    text, sentence = BESIDE[name]
    _, [told] = load_manifest(text.encode(), "f")
    assert str(told).startswith(sentence) or str(told).endswith(sentence)


# What looks like a trap, and is none: kubectl reads it so.
FINE: dict[str, str | bytes] = {
    "a date": labelled("2026-01-31"),
    "a time": labelled("v1_30"),
    "quotes": labelled('"on"'),
    "a tag of text": labelled("!!str 1"),
    "a byte order mark": "\ufeff" + HEAD,
    "byte order marks of joined files": f"---\n\ufeff{HEAD}\ufeff---\r\n# nothing\n\n\ufeff# nothing\n",
    "a byte order mark in JSON": f"\ufeff{A}\ufeff",
    "words that kubectl would say": HEAD + "  annotations: {t: 'Warning: Error: ${{ x }}'}\n",
    "a template in a value next to a warning": labelled('""')
    + '  annotations: {010: "{{ .Values.name }}"}\n',
    "CRLF": HEAD.replace("\n", "\r\n"),
    "no newline at the end": HEAD.rstrip(),
    "documents of nothing": f"---\n---\n# nothing\n---\n{HEAD}---\n",
    "an end of document": f"{HEAD}...\n",
    "a directive": f"%YAML 1.1\n---\n{HEAD}",
    "flow style": "{apiVersion: v1, kind: Pod, metadata: {name: a}}",
    "flow style over lines": "{apiVersion: v1,\n kind: Pod, # a comment\n metadata: {name: a},}",
    "an anchor": "apiVersion: v1\nkind: Pod\nmetadata: &m {name: &n a, labels: {k: *n}}\n",
    "a merge": "apiVersion: v1\nkind: Pod\nx-labels: &l {k: v}\nmetadata: {name: a, labels: {<<: *l}}\n",
    "spaces before JSON": ' \n\t{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}\n\n',
    "templates in a value": labelled('""') + '  annotations: {t: "{{ .Values.name }}"}\n',
}


@pytest.mark.parametrize("name", FINE)
def test_what_kubectl_reads_is_read(name: str) -> None:
    text = FINE[name]
    objects, diagnostics = load_manifest(
        text if isinstance(text, bytes) else text.encode(), "f", ReadingOptions(unknown_fields="warning")
    )
    assert [str(d) for d in diagnostics if d.severity == "error"] == []
    assert [item.name for item in objects] == ["a"]


@pytest.mark.parametrize(
    "text", [b"", b" \n", b"---\n", b"# nothing\n", b"\xef\xbb\xbf", b"null\n", b"---\n---\n"]
)
def test_nothing_is_nothing(text: bytes) -> None:
    assert load_manifest(text, "f") == ((), ())


def json_pod(name: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}})


def json_list(*items: str) -> str:
    return f'{{"apiVersion": "v1", "items": [{", ".join(items)}], "kind": "List", "metadata": {{}}}}'


A, B = json_pod("a"), json_pod("b")
PAIR = '"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]'
LISTS = {
    "kubectl": json_list(A, B),
    "kubectl, indented": json.dumps(json.loads(json_list(A, B)), indent=4),
    "the API server": f'{{"kind": "PodList", "apiVersion": "v1", "metadata": {{"continue": ""}}, {PAIR}}}',
    "kind behind the items": f'{{"apiVersion": "v1", {PAIR}, "kind": "PodList"}}',
    "unusual order": f'{{"metadata": {{"a": ["]"]}}, {PAIR}, "kind": "PodList", "apiVersion": "v1"}}',
    "brackets behind the items": f'{{"apiVersion": "v1", {PAIR}, "kind": "PodList", "x": ["]"]}}',
    "a list in a list": json_list(f'{{"apiVersion": "v1", "kind": "PodList", {PAIR}}}'),
    "a stream": f"{A}\n{B}",
    "a stream without a newline": A + B,
    "a stream of lists": f"{json_list(A)}\n{json_list(B)}",
    "documents": f"{A}\n---\n{B}\n---\n",
    "YAML": f"apiVersion: v1\nkind: List\nitems:\n- {A}\n- {B}\n",
    "YAML behind JSON": f"{A}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: b}}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_and_streams(name: str) -> None:
    """NP-011, and what kubectl and the API server print."""
    objects, diagnostics = load_manifest(LISTS[name].encode(), "f")
    assert diagnostics == ()
    assert [(type(item), item.name) for item in objects] == [(Pod, "a"), (Pod, "b")]


@pytest.mark.parametrize("text", [json_list(), '{"kind": "List", "items": null}'])
def test_an_empty_list_is_nothing(text: str) -> None:
    assert load_manifest(text.encode(), "f") == ((), ())


def test_every_mistake_is_reported_at_once_in_order() -> None:
    text = "\n---\n".join(labelled(value) for value in ("1", "a", "2", "3"))
    objects, diagnostics = load_manifest(text.encode(), "f")
    assert [item.name for item in objects] == ["a"]
    assert [d.line for d in diagnostics] == [6, 22, 30]


def test_what_stands_before_a_syntax_error_is_read_and_reported() -> None:
    objects, diagnostics = load_manifest(f"{HEAD}---\n{labelled('1')}---\n{{a: ]".encode(), "f")
    assert len(objects) == 1
    assert len(diagnostics) == 2


def test_json_may_be_longer_than_yaml() -> None:
    """`kubectl get pods -A -o json` of 10 000 pods is 70 MB; YAML of that size would take half a minute."""
    too_much = manifests.MAX_YAML + 1
    assert size_mistake(b"kind: List", manifests.MAX_YAML) is None
    assert "give it as JSON (`kubectl get -o json`)" in str(size_mistake(b"kind: List", too_much))
    assert size_mistake(b' \n{"kind"', too_much) is None
    assert size_mistake(b"\xef\xbb\xbf[", manifests.MAX_JSON) is None
    assert "split it" in str(size_mistake(b"{", manifests.MAX_JSON + 1))


def test_a_text_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_YAML", 64)
    objects, [diagnostic] = load_manifest(HEAD.encode() + b"#" * 64, "f")
    assert objects == ()
    assert str(diagnostic).startswith("f: error: longer than")
