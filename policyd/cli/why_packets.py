"""`policyd why --packets`: the walk of a packet through the rulesets of the nodes that it passes. Pure.

The answer is of the policies as they are written, the walk of the rulesets as they are compiled: where the
two say different things, one of them is wrong, and that is our bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from policyd.ask.ends import Party, end_at
from policyd.ask.why import Side, cases_of, why
from policyd.ask.why import Verdict as Answer
from policyd.ask.world import World
from policyd.cli.compiled import Rulesets
from policyd.kube.cidr import parse_ip
from policyd.kube.syntax import printable
from policyd_compiler.addr import Family, print_address
from policyd_compiler.nft.ast import Verdict
from policyd_compiler.nft.keys import KeyType, SetName, print_key
from policyd_compiler.nft.packet import HookName, Packet
from policyd_compiler.nft.printer import print_rule, print_verdict
from policyd_compiler.sim import Step, Trace

Hook: TypeAlias = Literal["forward", "input", "output"]
#: Addresses that nobody has (RFC 5737, RFC 3849): stand for `internet`.
_ANYWHERE: dict[Family, str] = {4: "198.51.100.1", 6: "2001:db8::1"}
_ICMP: dict[Family, tuple[str, int]] = {4: ("icmp", 8), 6: ("icmpv6", 128)}
#: Of more kinds of pairs no more is walked.
MOST = 64
#: So many are printed; the rest is in the JSON.
_SHOWN = 4


class Disagreement(Exception):
    """The answer and the walk say different things."""


class Stop(NamedTuple):
    """Where a packet is judged: on which node, at which hook, for which end's sake."""

    node: str
    hook: Hook
    judges: Literal["egress", "ingress", "both"]


class Shown(NamedTuple):
    """A step as text. `looks`: what was looked for in which set or map, and what was there, or None.

    Without a verdict the rule did not match.
    """

    chain: str
    rule: str
    looks: tuple[tuple[str, str, str | None], ...]
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Walk:
    """One packet at one hook of a node. `expected` is what the policies say; None: they do not decide it."""

    stop: Stop
    packet: Packet
    trace: Trace
    expected: str | None
    steps: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Walks:
    """All walks of one question, and why some packets are not walked."""

    walks: tuple[Walk, ...]
    left_out: tuple[str, ...]


def walk_all(world: World, verdict: Answer) -> Walks:
    """Walk every kind of packet that the verdict is about. Raises Disagreement."""
    rulesets, found, left_out = Rulesets(world), list[Walk](), dict[str, None]()
    for number, case in enumerate(cases_of(world, verdict.sender, verdict.receiver)):
        if number == MOST:
            left_out["only so many kinds of pods are walked"] = None
            break
        for family, (sender, receiver) in case.items():
            reason = _missing(sender) or _missing(receiver)
            if reason:
                left_out[reason] = None
                continue
            ends = _address(sender), _address(receiver)
            said = why(world, end_at(world, family, ends[0]), end_at(world, family, ends[1]), verdict.packet)
            # Rulesets wait for a namespace that nobody gave (NP-168); answers need not.
            waits = any(pod.namespace in world.unknown_namespaces for pod in (*sender.pods, *receiver.pods))
            for stop in _stops(sender, receiver):
                found.append(_walk(rulesets, stop, family, ends, said, compared=not waits))
    if not found and not left_out:
        left_out["a packet of a pod to itself passes no hook"] = None
    return Walks(tuple(found), tuple(left_out))


def _missing(party: Party) -> str:
    """Why no packet of this party can be walked."""
    if party.end.anywhere:
        return ""
    name = party.end.text if not party.pods else f"{party.pods[0].namespace}/{party.pods[0].name}"
    if party.address is None:
        return f"{name} has no address yet"
    nodes = {pod.node for pod in party.pods}
    if None in nodes or "" in nodes:
        return f"{name} runs on no node yet"
    if len(nodes) > 1:
        return f"{print_address(party.family, party.address)} is claimed by pods of several nodes"
    return ""


def _address(party: Party) -> int:
    if party.address is not None:
        return party.address
    return parse_ip(_ANYWHERE[party.family])[1]


def _node(party: Party) -> str:
    """The node that an end is on; "" outside."""
    return party.end.node or next((pod.node for pod in party.pods if pod.node), "")


def _stops(sender: Party, receiver: Party) -> Iterator[Stop]:
    """The hooks that judge a packet on its way: that of the sender's node first.

    A node's own packets are judged where its pods are (NP-090), those to another node where they begin.
    """
    source, destination = _node(sender), _node(receiver)
    if sender.pods and receiver.pods:
        if source == destination:
            yield Stop(source, "forward", "both")
        else:
            yield Stop(source, "forward", "egress")
            yield Stop(destination, "forward", "ingress")
    elif sender.pods:
        yield Stop(source, "input" if source == destination else "forward", "egress")
    elif receiver.pods:
        yield Stop(destination, "output" if source == destination else "forward", "ingress")


def _walk(
    rulesets: Rulesets, stop: Stop, family: Family, ends: tuple[int, int], said: Answer, *, compared: bool
) -> Walk:
    built = rulesets.build(stop.node)
    packet = _packet(stop.hook, family, ends, said)
    trace = rulesets.simulator(stop.node).evaluate(packet)
    expected = _expected(stop, said)
    if not compared or built.over or (packet.protocol == "udp" and said.receiver.node):
        expected = None  # a policy is quarantined (decisions 8); a node's tunnels are guarded (NP-163)
    keys = {part.name: part.key for part in built.table.parts}
    walk = Walk(stop, packet, trace, expected, tuple(_shown(step, keys) for step in trace.path))
    if expected is not None and expected != trace.verdict:
        raise Disagreement(
            f"the policies say {expected}, and the ruleset of node {stop.node} says {trace.verdict}: "
            + "\n".join(_lines(walk))
        )
    return walk


def _shown(step: Step, keys: dict[SetName, KeyType]) -> Shown:
    looks = tuple(
        (look.part, print_key(keys[look.part], look.key), _found(look.found)) for look in step.looks
    )
    verdict = None if step.verdict is None else print_verdict(step.verdict)
    return Shown(step.chain, print_rule(step.rule), looks, verdict)


def _found(found: Verdict | Literal["member"] | None) -> str | None:
    return found if found is None or found == "member" else print_verdict(found)


def _packet(hook: HookName, family: Family, ends: tuple[int, int], said: Answer) -> Packet:
    asked = said.packet
    protocol, kind = (asked.protocol.lower(), None) if asked.port is not None else _ICMP[family]
    source, destination = ends
    local = hook == "output"
    return Packet(
        family, source, destination, protocol, asked.port, hook=hook, icmp_type=kind, fib_local=local
    )


def _expected(stop: Stop, said: Answer) -> str | None:
    """What policies say of a packet where it is judged."""
    sides: tuple[Side, ...] = {
        "egress": (said.egress,),
        "ingress": (said.ingress,),
        "both": (said.egress, said.ingress),
    }[stop.judges]
    states = {side.state for side in sides}
    if "denied" in states:
        return "drop"
    return None if "unknown" in states else "accept"


def walks_json(walks: Walks) -> dict[str, Any]:
    """What a Verdict has more with `--packets`."""
    return {
        "packets": [_walk_json(walk) for walk in walks.walks],
        "notWalked": list(walks.left_out),
    }


def _walk_json(walk: Walk) -> dict[str, Any]:
    packet = walk.packet
    return {
        "node": walk.stop.node,
        "hook": walk.stop.hook,
        "source": print_address(packet.family, packet.saddr),
        "destination": print_address(packet.family, packet.daddr),
        "verdict": walk.trace.verdict,
        "policies": walk.expected,
        "lookups": walk.trace.lookups,
        "steps": [
            {
                "chain": step.chain,
                "rule": step.rule,
                "looks": [dict(zip(("in", "key", "found"), look, strict=True)) for look in step.looks],
                "verdict": step.verdict,
            }
            for step in walk.steps
        ],
    }


def walks_text(walks: Walks) -> str:
    """The walks for people."""
    lines = [f"  {line}" for walk in walks.walks[:_SHOWN] for line in _lines(walk)]
    if len(walks.walks) > _SHOWN:
        lines.append(f"  and {len(walks.walks) - _SHOWN} more packets that agree (-o json has them)")
    lines.extend(f"  not walked: {reason}" for reason in walks.left_out)
    return "\n".join(map(printable, lines)) + "\n"


def _lines(walk: Walk) -> Iterator[str]:
    packet, stop, trace = walk.packet, walk.stop, walk.trace
    ends = " → ".join(print_address(packet.family, each) for each in (packet.saddr, packet.daddr))
    agreed = ", as the policies say" if walk.expected == trace.verdict else ""
    many = "1 look-up" if trace.lookups == 1 else f"{trace.lookups} look-ups"
    yield f"packet   {ends}, node {stop.node}, hook {stop.hook}: {trace.verdict} after {many}{agreed}"
    for step in walk.steps:
        looks = ", ".join(
            f"{key} is {'not in it' if there is None else 'in it'}" for _, key, there in step.looks
        )
        yield f"           {step.chain}: {step.rule}" + (f"  ← {looks}" if looks else "")
    if not walk.steps:
        yield "           no rule of this node is about it"
