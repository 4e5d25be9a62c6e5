"""`policyd why --packets`, as it is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.cli import compiled
from policyd.cluster.state import ClusterState
from policyd.pipeline import Build, build
from policyd_compiler.options import Options
from tests.cli.answers import answer
from tests.cli.calls import SHOP, Call, as_list

CLUSTER = as_list(*SHOP)


def walks(call: Call, sender: str, receiver: str, code: int) -> list[tuple[str, str, str, str | None]]:
    """Where the packet is judged, what becomes of it, and what the policies say."""
    found = answer(call, "why", "-f", "-", sender, receiver, "--packets", stdin=CLUSTER, code=code)
    return [(each["node"], each["hook"], each["verdict"], each["policies"]) for each in found["packets"]]


@pytest.mark.parametrize(
    ("sender", "receiver", "code", "judged"),
    [
        ("shop/api", "shop/web:http", 0, [("n2", "forward", "accept"), ("n1", "forward", "accept")]),
        ("shop/api", "shop/db:80", 1, [("n2", "forward", "accept"), ("n1", "forward", "drop")]),
        ("shop/db", "shop/web:http", 1, [("n1", "forward", "drop")]),
        ("internet", "shop/db:80", 1, [("n1", "forward", "drop")]),
        ("203.0.113.1", "shop/api:80", 1, [("n2", "forward", "drop")]),
    ],
)
def test_a_packet_is_walked_on_each_node_that_judges_it(
    call: Call, sender: str, receiver: str, code: int, judged: list[tuple[str, str, str]]
) -> None:
    assert walks(call, sender, receiver, code) == [(*each, each[2]) for each in judged]


def test_the_text_has_every_look_up(call: Call) -> None:
    found = call("why", "-f", "-", "shop/db", "shop/web:http", "--packets", stdin=CLUSTER)
    assert found.code == 1
    assert (
        "10.244.1.11 → 10.244.1.10, node n1, hook forward: drop after 2 look-ups, as the policies"
        in found.out
    )
    assert "← 10.244.1.11 is in it" in found.out
    assert "← 10.244.1.10 is not in it" in found.out
    assert 'drop comment "egress isolated by shop/db"' in found.out


def test_what_cannot_be_walked_says_why(call: Call) -> None:
    manifests = as_list(
        *SHOP, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late", "namespace": "shop"}}
    )
    found = answer(call, "why", "-f", "-", "shop/late", "shop/api:80", "--packets", stdin=manifests, code=1)
    assert (found["packets"], found["notWalked"]) == ([], ["shop/late has no address yet"])
    assert call("why", "-f", "-", "shop/web", "shop/api", "--packets", stdin=CLUSTER).code == 2


def test_a_walk_that_differs_from_the_answer_is_a_bug(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the compiler had lost all policies."""

    def forget(state: ClusterState, node: str, options: Options) -> Build:
        return build(replace(state, by_kind={**state.by_kind, "NetworkPolicy": {}}), node, options)

    monkeypatch.setattr(compiled, "build", forget)
    found = call("why", "-f", "-", "shop/db", "shop/web:http", "--packets", stdin=CLUSTER)
    assert (found.code, found.out) == (70, "")
    assert "the policies say drop, and the ruleset of node n1 says accept" in found.err
