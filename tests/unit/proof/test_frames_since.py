"""What a change leaves proved of frames on a bridge: all if the table follows, nothing if it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policyd.cluster.attachments import Attachments
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Accept, Rule, Table
from policyd_compiler.nft.expressions import Field, Match, Prefix, numbers
from policyd_compiler.options import Options
from tests.cases.form import allow_all, block, egress, ingress, namespace, pod, pods
from tests.cases.tiers import rule, tier
from tests.oracle import Manifest
from tests.routes import state_of

NODE, OPTIONS = "n1", Options()
HTTP = [{"name": "http", "containerPort": 8080}]
WEB = pod("x/web", "10.0.1.1", "fd00::1:1", node="n2")
WORLD: list[Manifest] = [
    namespace("x", team="blue"),
    pod("x/a", "10.0.0.1", "fd00::1"),
    pod("x/b", "10.0.0.2", "fd00::2"),
    pod("x/c", "10.0.0.3", "fd00::3"),
    WEB,
    pod("x/named", "10.0.1.4", node="n2", ports=HTTP),
    ingress("x", "a", {"from": [pods(pod="b"), pods(pod="web")], "ports": [{"port": 80}]}, name="in"),
    egress("x", "b", {"to": [block("10.0.1.4/32")], "ports": [{"port": "http"}]}, name="out"),
]
PORTS = {name: Attachment(f"veth{name}", "cni0", number) for number, name in enumerate("abcd", start=1)}


def given(*more: Manifest, ports: str = "abc", options: Options = OPTIONS, **other: Attachment) -> Given:
    """The cluster, with further objects or others of the same names, ports of these pods, and its ruleset."""
    keys = {(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]): m for m in (*WORLD, *more)}
    known = {f"x/{name}": {**PORTS, **other}[name] for name in ports}
    names = (*(each.interface for each in known.values()), "vethx")
    links = Attachments(known, ("cni0",), tuple(sorted(names)), ("eth1",))
    state = replace(state_of(list(keys.values()), live=True), attachments=links)
    return Given(state, build(state, NODE, options).table)


BEFORE = given()
CHANGES = {
    "a pod of another node is selected": given(
        pod("x/named", "10.0.1.4", metadata={"labels": {"pod": "web"}})
    ),
    "a pod of the node is selected": given(
        pod("x/c", "10.0.0.3", "fd00::3", metadata={"labels": {"pod": "b"}})
    ),
    "a pod of the node is isolated": given(
        pod("x/c", "10.0.0.3", "fd00::3", metadata={"labels": {"pod": "a"}})
    ),
    "a policy allows another port": given(
        ingress("x", "a", {"from": [pods(pod="b"), pods(pod="web")], "ports": [{"port": 81}]}, name="in")
    ),
    "a policy allows more to send": given(egress("x", "b", {"ports": [{"port": 53}]}, name="out")),
    "a pod comes": given(pod("x/d", "10.0.0.4", "fd00::4"), ports="abcd"),
    "a pod has another address": given(pod("x/b", "10.0.0.9", "fd00::2")),
    "a pod has another hardware address": given(b=Attachment("vethb", "cni0", 99)),
    "a pod hangs by another port": given(b=Attachment("vethy", "cni0", 2)),
    "two pods change places": given(b=PORTS["c"], c=PORTS["b"]),
    "a port is not known": given(ports="ab"),
    "the port of an isolated pod is not known": given(ports="bc"),
    "a policy says the same of a pod whose port is not known": given(ports="b"),
}
#: By these the table has other rules: from nothing.
REBUILT = {
    "the port of an isolated pod is not known",
    "a policy says the same of a pod whose port is not known",
}
#: By these no frame meets another fate: what was proved is right for them, too.
HARMLESS = {"a pod of another node is selected"}


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - REBUILT))
def test_a_table_that_follows_is_still_proved(name: str) -> None:
    now = CHANGES[name]
    assert prove(now.state, NODE, OPTIONS, now.table).plain
    assert is_still_proved(BEFORE, now, NODE, OPTIONS)
    assert is_still_proved(now, BEFORE, NODE, OPTIONS)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - HARMLESS))
def test_a_table_that_does_not_follow_is_not(name: str) -> None:
    for before, now in ((BEFORE, CHANGES[name]), (CHANGES[name], BEFORE)):
        stale = now._replace(table=replace(now.table, bridge=before.table.bridge))
        assert not prove(now.state, NODE, OPTIONS, stale.table).proved
        assert not is_still_proved(before, stale, NODE, OPTIONS)


def following_but_at(hook: str, before: Table, now: Table) -> Table:
    """What is now, but that at one hook there lies what was before."""
    parts: list[dict[str, Any]] = []
    for kind in ("sets", "maps", "chains"):
        found = {each.name: each for table in (before, now) for each in getattr(table.bridge, kind)}
        parts.append(found)
    parts[2] |= {c.name: c for c in before.bridge.chains if c.name == hook} if before.bridge else {}
    sets, maps, chains = (tuple(each.values()) for each in parts)
    assert now.bridge is not None
    return replace(now, bridge=replace(now.bridge, sets=sets, maps=maps, chains=chains))


@pytest.mark.parametrize("hook", ["prerouting", "forward"])
def test_each_hook_is_looked_at(hook: str) -> None:
    now = CHANGES["two pods change places"]
    stale = now._replace(table=following_but_at(hook, BEFORE.table, now.table))
    assert not prove(now.state, NODE, OPTIONS, stale.table).proved
    assert not is_still_proved(BEFORE, stale, NODE, OPTIONS)


def first(table: Table, chain: str, *matches: Match) -> Table:
    """The same tables, but that what matches is accepted first in the bridge's chains of this kind."""
    assert table.bridge is not None
    kept = tuple(
        replace(each, rules=(Rule(Accept(), matches), *each.rules)) if each.name.startswith(chain) else each
        for each in table.bridge.chains
    )
    assert kept != table.bridge.chains
    return replace(table, bridge=replace(table.bridge, chains=kept))


def test_a_peer_that_is_denied_counts_for_whoever_is_not_known() -> None:
    """CNP-006, NP-161: nothing is said of the node's pods, but of all of everybody together."""
    denying = tier(ingress=[rule("Deny", {"pods": {"podSelector": {"matchLabels": {"bad": "yes"}}}})])
    bad = {**WEB, "metadata": {**WEB["metadata"], "labels": {"pod": "web", "bad": "yes"}}}
    before, now = (given(denying, allow_all("x"), each) for each in (WEB, bad))
    assert prove(before.state, NODE, OPTIONS, before.table).plain
    assert prove(now.state, NODE, OPTIONS, now.table).proved
    stale = now._replace(table=replace(now.table, bridge=before.table.bridge))
    assert not prove(now.state, NODE, OPTIONS, stale.table).proved
    assert not is_still_proved(before, stale, NODE, OPTIONS)


def test_a_pod_that_is_named_alone_may_expose_another_port() -> None:
    """What is sent to all with its address may pass by that port, and not by another."""
    matches = Match(Field.IP_DADDR, Prefix(0x0A00_0104, 32)), Match(Field.TCP_DPORT, numbers(8080))
    before = BEFORE._replace(table=first(BEFORE.table, "speaks4-", *matches))
    other = given(pod("x/named", "10.0.1.4", node="n2"))
    now = other._replace(table=replace(other.table, bridge=before.table.bridge))
    assert prove(before.state, NODE, OPTIONS, before.table).plain
    assert not prove(now.state, NODE, OPTIONS, now.table).proved
    assert not is_still_proved(before, now, NODE, OPTIONS)
