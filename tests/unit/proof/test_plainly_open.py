"""Where policies plainly allow everything, all must pass; where that is not plain, either is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Accept, Drop, Rule, Table
from policyd_compiler.nft.expressions import Field, InSet, Match, Prefix, Word, numbers
from policyd_compiler.nft.packet import HookName
from policyd_compiler.options import Options
from tests.cases.form import block, ingress, namespace, pod
from tests.oracle import Manifest
from tests.routes import not_proved, state_of

NODE, ROUTED = "n1", Options(pod_interfaces=("cali*",))
EVERYTHING: Manifest = {}
BLOCKS: Manifest = {"from": [block("0.0.0.0/0"), block("::/0")]}
A, B = pod("x/a", "10.0.0.1", "fd00::1"), pod("x/b", "10.0.0.2", "fd00::2")


def world(rule: Manifest) -> ClusterState:
    return state_of([namespace("x"), A, B, ingress("x", "a", rule)])


@pytest.mark.parametrize("rule", [EVERYTHING, BLOCKS], ids=["everybody", "every address"])
def test_groups_on_a_routed_network(rule: Manifest) -> None:
    """Blocks mean addresses, and a rule with all of them is not taken for one that means everybody."""
    state = world(rule)
    assert not_proved(state, NODE, build(state, NODE, ROUTED), ROUTED) == ()


def on_bridge(rule: Manifest, *known: str) -> ClusterState:
    ports = {f"x/{name}": Attachment(f"veth{name}", "cni0", ord(name)) for name in known}
    names = (*(port.interface for port in ports.values()), "vethx")
    return replace(world(rule), attachments=Attachments(ports, ("cni0",), names, ("eth1",)))


def first(table: Table, rule: Rule, hook: HookName = "forward") -> Table:
    """The same tables, but that the bridge's has another first rule at a hook."""
    assert table.bridge is not None
    chains = (replace(c, rules=(rule, *c.rules)) if c.is_at(hook) else c for c in table.bridge.chains)
    return replace(table, bridge=replace(table.bridge, chains=tuple(chains)))


#: Whose ports are known, and what of one port's is dropped that no rule of anybody's closes.
CLOSING = {
    "a group, to whoever is not known": (
        *("b", "vethx"),
        (Match(Field.IP_DADDR, Prefix(0xE000_00FB, 32)), Match(Field.META_L4PROTO, numbers(17))),
    ),
    "what no policy could judge": ("ab", "vetha", (Match(Field.ETHER_TYPE, numbers(0x88CC)),)),
}


@pytest.mark.parametrize(("known", "port", "what"), CLOSING.values(), ids=list(CLOSING))
def test_frames_to_whom_policies_plainly_allow_everything_must_pass(
    known: str, port: str, what: tuple[Match, ...]
) -> None:
    """NP-165: for a pod whose port is not known, too."""
    for rule, is_right in ((EVERYTHING, False), (BLOCKS, True)):
        state = on_bridge(rule, *known)
        table = build(state, NODE, Options()).table
        assert prove(state, NODE, Options(), table).proved
        closed = first(table, Rule(Drop(), (Match(Field.OIFNAME, Word(port)), *what)))
        found = prove(state, NODE, Options(), closed)
        # nft finds IP behind a tag, too, and nothing there is closed to anybody.
        texts = [str(each) for each in found.differences if each.packet.vlan is None]
        assert bool(texts) is not is_right
        assert all(f"out by {port}" in text for text in texts)


@pytest.mark.parametrize("field", [Field.OIFNAME, Field.OIFNAME_IP_DADDR])
def test_nothing_is_proved_of_a_rule_that_asks_where_a_frame_goes_before_that_is_known(field: Field) -> None:
    state = on_bridge(BLOCKS, "a", "b")
    table = build(state, NODE, Options()).table
    assert table.bridge is not None
    [bound] = (part.name for part in table.bridge.sets if part.name.startswith("bound4"))
    right = Word("eth1") if field is Field.OIFNAME else InSet(bound)
    wrong = first(table, Rule(Accept(), (Match(field, right),)), "prerouting")
    [said] = prove(state, NODE, Options(), wrong).unprovable
    assert f"a rule asks for {field.row.text}" in said
