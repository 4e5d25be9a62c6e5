"""Isolations → chains. One for each isolation and family; endpoints with the same isolation share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from policyd_compiler.errors import CompilerBug
from policyd_compiler.ir import Isolation, Origin, Tier
from policyd_compiler.layout import Group, Layout
from policyd_compiler.lower.classes import Classes, HostIndex
from policyd_compiler.lower.decide import Decider
from policyd_compiler.lower.objects import Objects
from policyd_compiler.lower.port_chains import PortVerdicts
from policyd_compiler.lower.sharing import Class, group_classes, own_classes
from policyd_compiler.names import readable
from policyd_compiler.nft.ast import ChainName, Drop, Rule, Verdict, Vmap
from policyd_compiler.nft.expressions import Field, InSet, Match, Word, address_field
from policyd_compiler.nft.keys import Family, PortSide, Side

#: Who sends with an address of the node is in no set of pods, so those are asked first: this costs more.
FROM_NODE = Match(Field.FIB_SADDR_TYPE, Word("local"))
SPOOFED = Rule(Drop(), (FROM_NODE,), comment="a forwarded packet with an address of this node as source")
#: The order of origins, which is that of their fields.
_IN_ORDER = attrgetter("kind", "namespace", "name", "rule", "file", "line")
#: Rules named in a chain's notes; the rest is counted.
NOTED_RULES = 12
#: The kernel keeps at most 128 bytes of a rule's comment, and a little of that is ours.
COMMENT_BYTES = 120


@dataclass(frozen=True, slots=True)
class Notes:
    """What a chain says to people: in its name, before its rules, and after the last of them."""

    hint: str
    lines: tuple[str, ...]
    comment: str


def take_notes(isolation: Isolation, endpoints: Sequence[str]) -> Notes:
    """The notes of an isolation, the same for both families."""
    policies = sorted({origin.policy for origin in isolation.policies})
    return Notes(readable(tuple(policies)), note_lines(isolation, endpoints), _comment(isolation, policies))


@dataclass(frozen=True, slots=True)
class Judges:
    """The chains of an isolation in a family: for packets that ask, and for strays that answer (NP-165)."""

    asking: ChainName
    answering: ChainName


@dataclass(frozen=True, slots=True)
class _View:
    """Where a chain finds the peer's address, and the port of the pod that is asked."""

    family: Family
    side: Side
    index: HostIndex
    objects: Objects
    verdicts: PortVerdicts

    @property
    def field(self) -> Field:
        return address_field(self.family, self.side)

    @property
    def ports(self) -> str:
        """What a map of verdicts is about, in its name."""
        return "ports" if self.verdicts.side == "dport" else "answers"


def lower_isolation(
    decider: Decider, classes: Classes, notes: Notes, index: HostIndex, family: Family, objects: Objects
) -> Judges:
    """Add the chains that judge one direction of endpoints, and all that they need."""
    ingress = decider.isolation.direction == "ingress"
    layout = decider.isolation.layout
    groups = group_classes(decider)
    own = own_classes(classes, groups)
    if any(hosts & ~classes.named for _, hosts in groups):
        raise CompilerBug("a group holds a host that no rule names")

    def add(prefix: str, side: Side, port: PortSide, lines: tuple[str, ...]) -> ChainName:
        verdicts = PortVerdicts(classes, decider.masks, objects, port)
        view = _View(family, side, index, objects, verdicts)
        rules = (
            *_own_rules(own, layout, view),
            # In this order, as they may overlap.
            *(_group_rule(group, view) for group in layout.groups),
            *(_spoofed_rules(classes) if ingress and port == "dport" else ()),
            *_range_rules(classes, view),
            Rule(verdicts.of(classes.default), comment=notes.comment),
        )
        return objects.add_chain(f"{prefix}{family}", notes.hint, rules, lines)

    prefix = "in" if ingress else "out"
    asking = add(prefix, "saddr" if ingress else "daddr", "dport", notes.lines)
    lines = (answers_note(asking),)
    return Judges(asking, add(f"{prefix}-answers", "daddr" if ingress else "saddr", "sport", lines))


def _own_rules(own: tuple[Class, ...], layout: Layout, view: _View) -> tuple[Rule, ...]:
    """A question for the peers that stand in no group, or differ from those of theirs.

    A set is enough where all of them may do the same, whatever they are; and for chains that ask and that
    answer one and the same. Else a map.
    """
    objects, family, masks = view.objects, view.family, view.verdicts.masks
    if not own and not layout.own:
        return ()
    alike = None if layout.alike is None else masks.mask(layout.alike)
    if alike is not None and all(ports == alike for ports, _ in own):
        addresses = sorted(a for _, hosts in own for a in objects.addresses(view.index, family, hosts))
        name = objects.add_peer_set(f"peers{family}", layout.identity, family, tuple(addresses))
        return (Rule(view.verdicts.of(alike), (Match(view.field, InSet(name)),)),)
    elements: list[tuple[int, Verdict]] = []
    for ports, hosts in own:
        if here := objects.addresses(view.index, family, hosts):
            verdict = view.verdicts.of(ports)
            elements.extend((address, verdict) for address in here)
    elements.sort(key=itemgetter(0))
    if not elements and not layout.own:  # nobody in this family
        return ()
    name = objects.add_peer_map(f"peer-{view.ports}{family}", layout.identity, family, tuple(elements))
    return (Rule(Vmap(view.field, name)),)


def _group_rule(group: Group, view: _View) -> Rule:
    addresses = view.objects.addresses(view.index, view.family, group.hosts)
    name = view.objects.add_peer_set(f"group{view.family}", group.identity, view.family, addresses)
    verdict = view.verdicts.of(view.verdicts.masks.mask(group.ports))
    return Rule(verdict, (Match(view.field, InSet(name)),))


def _spoofed_rules(classes: Classes) -> tuple[Rule, ...]:
    """Before what lets others in than pods. Who is not let in anyway needs no question."""
    if classes.default == 0 and not classes.ranges:
        return ()
    return (SPOOFED,)


def _range_rules(classes: Classes, view: _View) -> tuple[Rule, ...]:
    family = view.family
    if not classes.ranges:
        return ()
    if len({ports for _, ports in classes.ranges}) == 1:
        verdict = view.verdicts.of(classes.ranges[0][1])
        ranges = tuple(interval for interval, _ in classes.ranges)
        name = view.objects.add_range_set(f"ranges{family}", family, ranges)
        return (Rule(verdict, (Match(view.field, InSet(name)),)),)
    elements = tuple((interval, view.verdicts.of(ports)) for interval, ports in classes.ranges)
    name = view.objects.add_range_map(f"range-ports{family}", family, elements)
    return (Rule(Vmap(view.field, name)),)


def _comment(isolation: Isolation, policies: list[str]) -> str:
    """What stands after the last rule: which policies isolate, as many as fit."""
    isolates = any(stage.tier is Tier.NETWORK_POLICY for stage in isolation.stages)
    text = f"{isolation.direction} {'isolated' if isolates else 'judged'} by {policies[0]}"
    for done, policy in enumerate(policies[1:], start=1):
        longer = f"{text}, {policy}"
        if len(longer.encode()) > COMMENT_BYTES - 12:
            text = f"{text} and {len(policies) - done} more"
            break
        text = longer
    return text.encode()[:COMMENT_BYTES].decode(errors="ignore")


def answers_note(asking: ChainName) -> str:
    """What is said of the chain beside one for packets that ask."""
    return f"strays that answer what {asking} judges"


def note_lines(isolation: Isolation, endpoints: Sequence[str]) -> tuple[str, ...]:
    """Whose packets the chain judges, and by which rules: those that may match something."""
    shown = ", ".join(endpoints[:4])
    more = f" and {len(endpoints) - 4} more" if len(endpoints) > 4 else ""
    origins: list[Origin] = sorted(
        {origin for stage in isolation.stages for rule in stage.rules for origin in rule.origins},
        key=_IN_ORDER,
    )
    lines = [f"{isolation.direction} of {shown}{more}"]
    silent = {origin.policy for origin in isolation.policies} - {origin.policy for origin in origins}
    lines.extend(
        f"  {origin}: {'isolates' if origin.namespace else 'selects'}"
        for origin in isolation.policies[:NOTED_RULES]
        if origin.policy in silent
    )
    lines.extend(f"  {origin}" for origin in origins[:NOTED_RULES])
    if len(origins) > NOTED_RULES:
        lines.append(f"  and {len(origins) - NOTED_RULES} more rules")
    return tuple(lines)
