"""No bytes and no values make the readers raise, or take long."""

from __future__ import annotations

import copy
import json
import time
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import KINDS
from policyd.manifests.load import combine, load_manifest
from tests.cases.form import block, egress, namespace, pod, pods, policy, requirement
from tests.oracle import Manifest

OPTIONS = (
    ReadingOptions(),
    ReadingOptions(unknown_fields="warning", legacy_cidrs="error"),
    ReadingOptions(refused="close", namespace="x"),
)
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    [
        "",
        "80",
        "web",
        "TCP",
        "10.0.0.0/8",
        "Pod",
        "v1",
        "List",
        "\ud800",
        "\0",
        "Ingress",
        "2026-01-01T00:00:00Z",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
WORDS = """\
apiVersion kind items metadata name namespace labels spec status podSelector matchLabels matchExpressions key
operator values policyTypes ingress egress from to ports port endPort protocol ipBlock cidr except containers
initContainers podIP podIPs ip containerPort phase startTime addresses address type hostNetwork nodeName
"""
keys = texts | st.sampled_from(WORDS.split())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=40,
)
GOOD: list[Manifest] = [
    namespace("x", team="a"),
    pod("x/a", "10.0.0.1", "fd00::1", ports=[{"name": "http", "containerPort": 80, "protocol": "TCP"}]),
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    },
    policy("x", podSelector={"matchLabels": {"a": "b"}}, policyTypes=["Ingress"], ingress=[None]),
    egress(
        "x",
        "a",
        {
            "to": [pods(requirement("k", "In", "v"), app="web"), block("10.0.0.0/8", "10.1.0.0/16")],
            "ports": [{"port": 80, "endPort": 90, "protocol": "TCP"}, {"port": "http"}],
        },
    ),
]


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    steps: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        found.extend(places(inner, (*path, step)))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A good object with a few of its parts exchanged for anything, taken away, or put under another key."""
    value: Any = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        if not path:
            return draw(values)
        parent = value
        for step in path[:-1]:
            parent = parent[step]
        change = draw(st.sampled_from(["exchange", "take away", "rename"]))
        if change == "exchange":
            parent[path[-1]] = draw(values)
        elif change == "take away":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(keys)] = parent.pop(path[-1])
    return value


@given(values | mutated(), st.none() | st.sampled_from(KINDS.names) | texts)
@example({"metadata": {"name": "a"}}, "Pod")
def test_decode_live_never_raises(raw: object, kind: str | None) -> None:
    decoded = decode_live(raw, None if kind is None else KINDS.named(kind))
    if decoded.item is not None:
        hash(decoded.item)
        assert combine([decoded.item]) == ()


@given(values | mutated())
def test_decode_manifest_never_raises(raw: object) -> None:
    for options in OPTIONS:
        decoded = decode_manifest(raw, options)
        assert "\n" not in "".join(map(str, decoded.mistakes))
        if decoded.refused and options.refused == "drop":
            assert decoded.item is None


@given(mutated())
def test_what_is_accepted_means_the_same_where_it_is_stored(raw: Any) -> None:
    """Also where it is odd: the law that `test_two_ends` holds for what people write."""
    decoded = decode_manifest(raw, ReadingOptions())
    if not decoded.refused and decoded.item is not None:
        metadata = raw["metadata"]
        if raw["kind"] in ("Pod", "NetworkPolicy") and not metadata.get("namespace"):
            metadata["namespace"] = "default"
        assert decode_live(raw).item == decoded.item


def load(text: bytes) -> None:
    for options in OPTIONS:
        objects, diagnostics = load_manifest(text, "f", options)
        combine(objects)
        assert list(diagnostics) == sorted(diagnostics)
        said = "".join(map(str, diagnostics))
        assert "\n" not in said
        said.encode()


@given(st.binary(max_size=300))
def test_bytes_never_make_a_manifest_raise(text: bytes) -> None:
    load(text)


@given(st.text("{}[]:,-|>&*!%@`'\"#? \t\n\r0a<~.\u2028\ufeff\U0001f642", max_size=120))
def test_signs_of_yaml_and_json_never_make_a_manifest_raise(text: str) -> None:
    load(text.encode())


@given(st.lists(mutated(), min_size=1, max_size=3), st.integers(0, 2**32), st.binary(max_size=3))
def test_damaged_manifests_never_raise(objects: list[Any], seed: int, noise: bytes) -> None:
    """Written as JSON and as YAML, with a few bytes put over others."""
    encoded = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    written = [encoded.encode()]
    with suppress(yaml.YAMLError, UnicodeEncodeError):  # surrogates cannot be written
        written.append(yaml.safe_dump_all(objects, allow_unicode=True).encode())
    for text in written:
        at = seed % len(text)
        load(text)
        load(text[:at] + noise + text[at + len(noise) :])
        load(text[:at])


NAMELESS = "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {s: 1}\n"


@pytest.mark.parametrize(
    "dropped",
    ["spec: {name: a}\nspec: 1\n", "spec: {<<: {name: a}}\n", "spec: {<<: [{name: a}, {name: b}]}\n"],
)
def test_what_was_dropped_is_not_taken_for_what_came_later(dropped: str) -> None:
    """Places are known by the identity of what holds them, which Python gives away again."""
    _, diagnostics = load_manifest((dropped + NAMELESS).encode(), "f")
    assert any("metadata.name" in diagnostic.text for diagnostic in diagnostics)


#: Texts that are short to write and that a careless reader takes minutes for. 200 kB each.
SIZE = 200_000
SIZE = 200_000
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
BARE: Manifest = {"apiVersion": "v1", "kind": "Pod"}


def many(line: str, length: int) -> str:
    return "".join(line.replace("#", str(number)) for number in range(SIZE // length))


SLOW: dict[str, str] = {
    "unknown fields": POD + many("nam#: 1\n", 12),
    "bad objects": json.dumps({"apiVersion": "v1", "kind": "List", "items": [BARE] * (SIZE // 40)}, indent=1),
    "bad labels": json.dumps({**BARE, "metadata": {"labels": {f"-{i}": 1 for i in range(SIZE // 12)}}}),
    "duplicate keys": '{"a": 1' + many(', "a": 1', 8) + "}",
    "a long text": '{"a": "' + "\\n" * (SIZE // 2) + '", "a": 1}',
    "spaces": " " * SIZE + "{",
    "spaces in a list": '{"items"' + " " * SIZE + ": [",
    "braces": "{" * SIZE,
    "templates": "{{" * (SIZE // 2) + "\t:",
    "merges": f"a: &a {{{many('k#: 1, ', 200)}}}\n" + many("b#: {<<: *a}\n", 16),
    "aliases": f"a: &a [{many('1, ', 200)}]\n" + many("b#: *a\n", 12),
    "anchors": many("k#: &a# 1\n", 14),
    "a long name": json.dumps({**BARE, "metadata": {"name": "a-" * (SIZE // 2)}}),
    "a long CIDR": json.dumps(egress("x", "a", {"to": [block("1" * SIZE + "/8")]})),
    "a long prefix": json.dumps(egress("x", "a", {"to": [block("10.0.0.0/" + "0" * SIZE + "8")]})),
    "documents": "---\n" * (SIZE // 4),
    "a stream": json.dumps({"apiVersion": "v1", "kind": "Service"}) * (SIZE // 40),
    "errors in a stream": f"{json.dumps(BARE)}\n" * (SIZE // 36),
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_long(name: str) -> None:
    """A reading that is quadratic takes minutes for some of these, and a linear one a second for each."""
    before = time.process_time()
    load_manifest(SLOW[name].encode(), "f")
    assert time.process_time() - before < 10
