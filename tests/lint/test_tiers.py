"""The rules about ClusterNetworkPolicies: what they find, and above all what they do not."""

from __future__ import annotations

import json

from policyd.lint.gather import of_cluster
from policyd.lint.judge import judge
from tests.cases.form import cluster_policy, namespace, pod
from tests.lint.linting import rules
from tests.oracle import Manifest
from tests.reliability.states import decoded

ALL: Manifest = {"namespaces": {}}
OPS = {"namespaces": {"matchLabels": {"team": "ops"}}}
SHOP = {"namespaces": {"matchLabels": {"team": "shop"}}}
EVERYWHERE = {"networks": ["0.0.0.0/0", "::/0"]}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
}


def tier(name: str, *rules: Manifest, priority: int = 10, of: str = "Admin", subject: Manifest = ALL) -> str:
    side = "egress" if any("to" in rule for rule in rules) else "ingress"
    spec = {"tier": of, "priority": priority, "subject": subject, side: list(rules)}
    return json.dumps(cluster_policy(name, **spec))


def rule(action: str, *peers: Manifest, side: str = "from", ports: list[Manifest] | None = None) -> Manifest:
    return {"action": action, side: list(peers), **({} if ports is None else {"protocols": ports})}


def port(number: int, protocol: str = "tcp") -> Manifest:
    return {protocol: {"destinationPort": {"number": number}}}


def found(*texts: str | Manifest) -> list[str]:
    """The rules for tiers that find something; the world is said to be complete."""
    written = [text if isinstance(text, str) else json.dumps(text) for text in texts]
    return [name for name, _ in rules(*written, world="complete") if name.startswith("NP5")]


def test_ties_are_found_where_they_make_a_difference() -> None:
    """CNP-012"""
    accept, deny = rule("Accept", OPS), rule("Deny", ALL, ports=[port(22)])
    assert found(tier("a", accept), tier("b", deny)) == ["NP501"]
    assert found(tier("a", accept), tier("b", accept)) == []
    assert found(tier("a", accept), tier("b", deny, priority=11)) == []
    assert found(tier("a", accept), tier("b", deny, of="Baseline")) == []
    assert found(tier("a", accept, subject=SHOP), tier("b", deny, subject=OPS)) == []
    assert found(tier("a", accept), tier("b", rule("Deny", SHOP))) == []
    assert found(tier("a", rule("Accept", OPS, ports=[port(23)])), tier("b", deny)) == []
    assert found(tier("a", rule("Accept", OPS, side="to")), tier("b", deny)) == []


def test_what_nothing_reaches_is_found_by_what_is_written() -> None:
    """CNP-018"""
    wide, narrow = rule("Deny", ALL), rule("Accept", OPS, ports=[port(80)])
    assert found(tier("a", wide, narrow)) == ["NP502"]
    assert found(tier("a", narrow, wide)) == []
    assert found(tier("a", wide), tier("b", narrow, priority=11)) == ["NP502"]
    assert found(tier("a", wide, priority=11), tier("b", narrow)) == []
    assert found(tier("a", wide, subject=OPS), tier("b", narrow, priority=11)) == []
    assert found(tier("a", wide), tier("b", narrow, priority=11, of="Baseline")) == []
    some = rule("Accept", OPS, side="to", ports=[port(80)])
    everywhere = rule(
        "Accept",
        EVERYWHERE,
        side="to",
        ports=[{"tcp": {"destinationPort": {"range": {"start": 1, "end": 99}}}}],
    )
    assert found(tier("a", everywhere, some)) == ["NP502"]
    only_four = rule("Accept", {"networks": ["0.0.0.0/0"]}, side="to")
    assert found(tier("a", only_four, some)) == []


def test_a_deny_takes_dns_along_if_nothing_lets_it_pass_before() -> None:
    deny = rule("Deny", EVERYWHERE, side="to")
    dns = rule("Accept", ALL, side="to", ports=[port(53, "udp")])
    assert found(tier("a", deny)) == ["NP503"]
    assert found(tier("a", rule("Deny", ALL, side="to"))) == ["NP503"]
    assert found(tier("a", dns, deny)) == []
    assert found(tier("a", deny, of="Baseline"), tier("b", dns, priority=99)) == []
    assert found(tier("a", deny), tier("b", dns, priority=9)) == []
    assert found(tier("a", deny, of="Admin"), tier("b", dns, of="Baseline")) == ["NP503"]
    assert found(tier("a", rule("Deny", EVERYWHERE, side="to", ports=[port(25)]))) == []
    assert found(tier("a", rule("Deny", OPS, side="to"))) == []
    by_label = {"pods": {"podSelector": {"matchLabels": {"quarantine": "true"}}}}
    assert found(tier("a", deny, subject=by_label)) == []


def test_a_deny_takes_nodes_along() -> None:
    """CNP-023"""
    deny = rule("Deny", {"networks": ["192.0.0.0/8"]}, side="to")
    nodes = rule("Accept", {"nodes": {}}, side="to", ports=[port(6443)])
    assert found(tier("a", deny)) == [], "no node is among the objects"
    assert found(NODE, tier("a", deny)) == ["NP503"]
    assert found(NODE, tier("a", nodes, deny)) == []
    assert found(NODE, tier("a", rule("Deny", {"networks": ["198.51.100.0/24"]}, side="to"))) == []
    assert found(NODE, tier("a", rule("Deny", {"nodes": {}}, side="to"))) == [], "that is what it says"


def test_a_pass_needs_something_to_skip() -> None:
    """CNP-006"""
    skip, deny = rule("Pass", OPS), rule("Deny", ALL)
    assert found(tier("a", skip)) == ["NP504"]
    assert found(tier("a", skip, deny)) == []
    assert found(tier("a", skip, subject=SHOP), tier("b", deny, priority=11)) == []
    assert found(tier("a", skip, subject=SHOP), tier("b", deny, priority=11, subject=OPS)) == ["NP504"]
    assert found(tier("a", skip), tier("b", deny, of="Baseline")) == ["NP504"]


def test_what_may_be_elsewhere_is_a_note() -> None:
    assert [(r, level) for r, level in rules(tier("a", rule("Pass", OPS)), shop=False)] == [("NP504", "note")]


def test_policies_of_tiers_are_counted_and_switched_off() -> None:
    text = tier("a", rule("Pass", OPS))
    off = text.replace('"name": "a"', '"name": "a", "annotations": {"policyd.io/lint-ignore": "NP504"}')
    assert found(text) == ["NP504"]
    assert found(off) == []
    assert found(text, namespace("z"), pod("z/a", "10.9.9.9")) == ["NP504"]


def test_policies_of_a_cluster_are_judged_without_a_file() -> None:
    objects = decoded([json.loads(tier("a", rule("Pass", OPS))), namespace("z"), pod("z/a", "10.9.9.9")])
    read = of_cluster(objects.objects())
    [finding] = judge(read.subjects, read.seen(whole=True), read.texts).findings
    assert (finding.rule, finding.file, finding.line, str(finding.object)) == ("NP504", "", 0, "a")
