"""What is wrong with a node, judged from facts: a name, a sentence with what to do, and how bad it is. Pure.

`degraded` findings mean that packets of pods may pass that no rule has seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import ip_address

from policyd.netlink.links import Link
from policyd.node.blind import Measured, measure, network_of, pass_by
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6, Facts
from policyd.node.placement import SEEN_KINDS, patterns, place, uncovered

#: Every finding by name.
NAMES = (
    "bridge-netfilter-off",
    "pods-unseen",
    "pods-uncovered",
    "forwarding-off",
    "second-engine",
    "flowtable",
    "connections-unlisted",
)
#: After a reboot, and while pods come and go, routes lag behind the API; after so many looks they do not.
STEADY_LOOKS = 6
#: Pods named in a sentence; the rest is counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `name` is a constant word, `text` a sentence with what to do about it."""

    name: str
    text: str
    degraded: bool


def judge(
    looks: Sequence[Facts],
    pod_interfaces: Collection[str] = (),
    other_engines: Collection[str] = (),
    measured: Measured | None = None,
    inside: Collection[str] = (),
) -> tuple[Finding, ...]:
    """What is wrong, after one or more looks of which the last is the newest.

    `pod_interfaces` are the names, or patterns of names, that are configured. Routes come and go with pods,
    so what must not be so for a moment only counts if it was so in every look. `other_engines` are here on
    purpose. `measured`: whether packets pass unseen, where more is known of it than these looks tell.
    `inside`: addresses of pods that are judged in their own network namespaces, whatever the node sees.
    """
    all_inside = bool(looks[-1].addresses) and set(looks[-1].addresses) <= set(inside)
    measured = measured or measure(looks)
    looks = tuple(_without(look, inside) for look in looks) if inside else looks
    now = looks[-1]
    return (
        *(() if all_inside else _bridges(now, pod_interfaces)),
        *_unseen(looks),
        *(() if all_inside else _past_ip(now, measured)),
        *_uncovered(looks, pod_interfaces),
        *_forwarding(now),
        *_others(now, other_engines),
    )


def _without(facts: Facts, inside: Collection[str]) -> Facts:
    """The look without these pods, of which nothing is expected of the node."""
    return replace(
        facts,
        addresses=tuple(address for address in facts.addresses if address not in inside),
        ways={address: way for address, way in facts.ways.items() if address not in inside},
    )


def pod_links(facts: Facts, pod_interfaces: Collection[str] = ()) -> tuple[Link, ...]:
    """The interfaces behind which pods are: those of their routes, and those that are configured."""
    reached = {way.link for way in facts.ways.values() if not way.gateway}
    return tuple(
        link
        for link in facts.links
        if (link.index in reached and link.kind in SEEN_KINDS)
        or any(fnmatchcase(link.name, pattern) for pattern in pod_interfaces)
    )


def pod_bridges(facts: Facts, pod_interfaces: Collection[str] = ()) -> tuple[tuple[Link, int], ...]:
    """Bridges on which pods hang, and how many of their ports are not kept apart from others."""
    links = pod_links(facts, pod_interfaces)
    known = {link.index for link in links} | {link.master for link in links}
    found = []
    for bridge in facts.links:
        ports = [link for link in facts.links if link.master == bridge.index]
        if bridge.kind == "bridge" and bridge.index in known and any(p.kind == "veth" for p in ports):
            found.append((bridge, sum(not port.isolated for port in ports)))
    return tuple(found)


def hides_packets(facts: Facts, bridge: Link) -> bool:
    """Whether the bridge depends on sysctls that anybody may set back, and need not."""
    return facts.sysctls[BRIDGE4] is not None and not (bridge.calls_iptables and bridge.calls_ip6tables)


def families(facts: Facts) -> tuple[int, ...]:
    """The families of the pods' addresses; both where no pod is known."""
    return tuple(sorted({ip_address(text).version for text in facts.addresses})) or (4, 6)


def _bridges(facts: Facts, pod_interfaces: Collection[str]) -> Iterator[Finding]:
    for bridge, together in pod_bridges(facts, pod_interfaces):
        off = _off(facts, bridge)
        # Ports that are isolated from each other reach each other by routing only, and so by the hooks.
        if not off or not together:
            continue
        if facts.sysctls[BRIDGE4] is None:
            cause = "the kernel module br_netfilter is not loaded"
            remedy = "`modprobe br_netfilter`, and name it in a file of modules-load.d"
        else:
            cause, remedy = f"not 1: {', '.join(off)}", f"{_set_on(off)}, and find what sets it back"
        what = f"what pods on the bridge {bridge.name} send each other passes no rule"
        yield Finding("bridge-netfilter-off", f"{what} ({cause}): {remedy}", degraded=True)


def _off(facts: Facts, bridge: Link) -> list[str]:
    """The sysctls that are off, where the bridge's own option does not do the same."""
    asked = ((4, BRIDGE4, bridge.calls_iptables), (6, BRIDGE6, bridge.calls_ip6tables))
    found = []
    for family, name, own in asked:
        value = facts.sysctls[name]
        if family in families(facts) and (value is None or (value != "1" and not own)):
            found.append(name)
    return found


def _set_on(sysctls: list[str]) -> str:
    return " ".join(("`sysctl -w", *(f"{name}=1" for name in sysctls))) + "`"


def _unseen(looks: Sequence[Facts]) -> Iterator[Finding]:
    beside = sorted(set.intersection(*(set(_beside(facts)) for facts in looks)))
    if beside:
        more = f" and {len(beside) - _NAMED} more" if len(beside) > _NAMED else ""
        pods = ", ".join(beside[:_NAMED]) + more
        text = (
            f"pods of this node are not behind its interfaces ({pods}), so no rule "
            "here sees them: policyd needs a network in which the node routes or bridges the packets of its "
            "pods; with macvlan, ipvlan, netkit, Open vSwitch or eBPF it does not"
        )
        yield Finding("pods-unseen", text, degraded=len(looks) >= STEADY_LOOKS)


def _beside(facts: Facts) -> Iterator[str]:
    """Addresses of pods that the node reaches like a stranger's, or by a link that carries pods past IP."""
    for address, found in place(facts.links, facts.ways).items():
        if found.kind == "beside":
            yield address


def _uncovered(looks: Sequence[Facts], pod_interfaces: Collection[str]) -> Iterator[Finding]:
    """The configured names say where unknown pods are closed: this network's should be among them."""
    if not pod_interfaces:
        return
    found = [set(uncovered(place(look.links, look.ways).values(), pod_interfaces)) for look in looks]
    names = sorted(set.intersection(*found))
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        text = (
            f"pods are behind {', '.join(names[:_NAMED])}{more}, and pod_interfaces names no such interface, "
            f"so a pod that policyd does not know yet is open there: add {', '.join(patterns(names))}"
        )
        yield Finding("pods-uncovered", text, degraded=False)


def _past_ip(facts: Facts, measured: Measured) -> Iterator[Finding]:
    """eBPF on the pods' interfaces can take packets past every hook; counters show whether it does."""
    if not pass_by(facts) and measured.sight != "blind":
        return
    network = network_of(facts.links)
    what = f"eBPF programs{f' of {network}' if network else ''} are first to see the packets of pods"
    remedy = "have that network leave routing to the node (Cilium: bpf.hostLegacyRouting, endpointRoutes)"
    so = "some may pass no rule"
    if measured.sight == "blind":
        so = f"netfilter saw {measured.seen} of {measured.sent} by {measured.link}, the others pass no rule"
    yield Finding("pods-unseen", f"{what}: {so}; {remedy}", degraded=measured.sight == "blind")


def _forwarding(facts: Facts) -> Iterator[Finding]:
    off = [
        name
        for family, name in ((4, FORWARD4), (6, FORWARD6))
        if family in families(facts) and facts.addresses and facts.sysctls[name] == "0"
    ]
    if off:
        text = f"this node does not forward what its pods send beyond their own link: {_set_on(off)}"
        yield Finding("forwarding-off", text, degraded=False)


def _others(facts: Facts, other_engines: Collection[str]) -> Iterator[Finding]:
    for engine, sign in sorted(facts.engines.items()):
        if engine in other_engines:
            continue
        text = (
            f"{engine} enforces policies here, too ({sign}), and a packet passes if both let it: "
            "switch one of them off and remove what it left, or name it in the setting other_engines"
        )
        yield Finding("second-engine", text, degraded=False)
    if facts.flowtables:
        text = (
            f"connections in a flowtable ({', '.join(facts.flowtables)}) pass no rule any more, "
            "so one that a change denies lives on for a while: switch the offload off"
        )
        yield Finding("flowtable", text, degraded=False)
    if facts.connections is None and facts.tables is not None:
        text = (
            "the kernel does not list its connections, so one that a change denies cannot be ended: "
            "load the module nf_conntrack_netlink"
        )
        yield Finding("connections-unlisted", text, degraded=False)
