"""policyd-cni's entry in configurations that others write: theirs stays as it is, to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.cni.conflist import PLUGIN, UnsupportedList, read_network, with_plugin, without_plugin
from tests.cni.lists import CALICO, ENTRY, FLANNEL


def types(text: str) -> list[str]:
    return [plugin["type"] for plugin in json.loads(text)["plugins"]]


@pytest.mark.parametrize("text", [FLANNEL, CALICO, CALICO + "\n", FLANNEL.replace("\n", "\r\n")])
def test_the_rest_stays_as_it_is(text: str) -> None:
    made = with_plugin(text, ENTRY)
    assert json.loads(made)["plugins"][-1] == ENTRY
    assert "".join(made.replace(f"{json.dumps(ENTRY)}", "").split()) == "".join(text.split()).replace(
        "}]}", "},]}"
    )
    assert with_plugin(made, ENTRY) == made
    assert without_plugin(made) == text
    assert without_plugin(text) == text


def test_an_entry_of_another_time_is_replaced_where_it_stands() -> None:
    """Behind it may be what others have chained to it since."""
    old = with_plugin(CALICO, {**ENTRY, "waitSeconds": 5})
    later = old[: old.rindex("]")] + ', {"type": "istio-cni"}]}'
    made = with_plugin(later, ENTRY)
    assert types(made) == ["calico", "portmap", PLUGIN, "istio-cni"]
    assert read_network(made).entry == ENTRY
    assert types(without_plugin(made)) == ["calico", "portmap", "istio-cni"]


def test_several_of_them_become_one() -> None:
    twice = with_plugin(CALICO, ENTRY).replace('"plugins":[', '"plugins":[' + json.dumps(ENTRY) + ",")
    assert types(twice) == [PLUGIN, "calico", "portmap", PLUGIN]
    assert types(with_plugin(twice, {**ENTRY, "waitSeconds": 1})).count(PLUGIN) == 1
    assert types(without_plugin(twice)) == ["calico", "portmap"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{",
        "[" * 100_000,
        '{"plugins": []}',
        '{"name": "x", "cniVersion": "1.0.0", "plugins": []}',
        '{"name": "x", "cniVersion": "1.0.0", "type": "bridge"}',
        '{"name": "x", "plugins": [{"type": "a"}]}',
        '{"cniVersion": "1.0.0", "plugins": [{"type": "a"}]}',
        '{"name": "\\ud800", "cniVersion": "1.0.0", "plugins": [{}]}',
        '{"name": "../x", "cniVersion": "1.0.0", "plugins": [{}]}',
        '{"name": 7, "cniVersion": "1.0.0", "plugins": [{}]}',
        '{"name": "x", "cniVersion": "0.2.0", "plugins": [{}]}',
        '{"name": "x", "cniVersion": 7, "plugins": [{}]}',
    ],
)
def test_what_holds_no_chain_is_refused(text: str) -> None:
    for call in (lambda: with_plugin(text, ENTRY), lambda: without_plugin(text), lambda: read_network(text)):
        with pytest.raises(UnsupportedList):
            call()


def test_a_chain_of_ours_alone_is_not_emptied() -> None:
    """A list without plugins would leave the node without a network."""
    with pytest.raises(UnsupportedList):
        without_plugin(json.dumps({"name": "x", "cniVersion": "1.0.0", "plugins": [ENTRY]}))


def test_a_key_that_is_there_twice_counts_as_readers_count_it() -> None:
    text = '{"name": "x", "cniVersion": "1.0.0", "plugins": [{"type": "a"}], "plugins": [{"type": "b"}]}'
    assert types(with_plugin(text, ENTRY)) == ["b", PLUGIN]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@given(
    others=st.dictionaries(st.text(), VALUES, max_size=3),
    plugins=st.lists(st.dictionaries(st.text(), VALUES, max_size=3), min_size=1, max_size=4),
    indent=st.none() | st.integers(0, 3) | st.just("\t"),
    ascii_only=st.booleans(),
)
def test_in_and_out_again_for_any_list(
    others: dict[str, Any],
    plugins: list[dict[str, Any]],
    indent: int | str | None,
    ascii_only: bool,
) -> None:
    found = {**others, "name": "net", "cniVersion": "1.0.0", "plugins": plugins}
    text = json.dumps(found, indent=indent, ensure_ascii=ascii_only)
    made = with_plugin(text, ENTRY)
    assert json.loads(made) == {**found, "plugins": [*plugins, ENTRY]}
    assert without_plugin(made) == text
