"""The state of a node as lines for a person: what is in force, how fresh, and what is wrong. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from policyd.agent_api import AgentState, InterfaceCount, OwnPods, PolicyFindings, Proven, RulesetSize
from policyd.doctor.kernel_table import KernelTable
from policyd.kube.syntax import printable

#: Names in a line; the rest is counted.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Remains:
    """What there is where no agent answers, and why. A text says why something could not be read.

    `holder` is who is at work nevertheless, such as ` (process 7, user 0)`; empty if nobody is.
    """

    why: str
    holder: str
    kernel: KernelTable | str | None
    disk: int | str | None


def lines(found: AgentState | Remains, now: float, *, wide: bool = False) -> Iterator[str]:
    """One screen for a person; `wide`: and all pods and findings. `now` is wall clock."""
    if isinstance(found, Remains):
        yield from _without_agent(found)
        return
    node = printable(str(found.settings.get("node") or "this node"))
    yield f"{node}: {'enforcing' if found.enforcing else 'NOT enforcing what the objects say'}"
    if found.enforced is not None:
        size = found.enforced.stats
        yield _line("since", f"{_moment(found.enforced.since)}, generation {found.enforced.generation}")
        yield from _pods(found, size)
        closed = f"; quarantined, so that their pods are closed: {_names(tuple(found.quarantined))}"
        idle = f"; {size.idle_peers} of their peers select no pod with an address" if size.idle_peers else ""
        closed = closed if found.quarantined else ""
        named = _policies(found)
        here = f": {_names(named)}" if named else ""
        yield _line("policies", f"{size.policies} that select pods here{here}{closed}{idle}")
        yield _line(
            "ruleset", f"{size.rules} rules, {size.chains} chains, {size.sets} sets, {size.elements} elements"
        )
    yield from _objects(found)
    if found.findings.count:
        yield _line("findings", _findings(found.findings))
    yield _line("verified", _verified(found, now))
    if found.proof.proved is not None:
        yield _line("proved", _proved(found.proof))
    if not found.conditions:
        yield _line("conditions", "none")
    for condition in found.conditions:
        mark = "DEGRADED: " if condition.degraded else ""
        yield _line("condition", f"{mark}{condition.name}: {condition.text}")
    if wide:
        yield from _wide(found)


def _pods(found: AgentState, size: RulesetSize) -> Iterator[str]:
    """The node's pods: how many, by whose word, and how they are known from each other."""
    yield _line(
        "pods", f"{size.pods} on this node: {size.isolated} isolated, {size.pods - size.isolated} open"
    )
    if found.interfaces is not None:
        yield _line("interfaces", f"pods are bound: {bindings(found.interfaces)}")
    if found.own_pods.kubelet is not None:
        yield _line("", f"known by {own_pods(found.own_pods)}")
    if found.inside.pods:
        yield _line("inside", f"{found.inside.pods} pods are judged in their own network namespaces, too")


def _policies(found: AgentState) -> tuple[str, ...]:
    """The policies that isolate a pod of the node, sorted."""
    sides = (side for pod in found.pods for side in (pod.ingress, pod.egress))
    return tuple(sorted({name for side in sides for name in side or ()}))


def _wide(found: AgentState) -> Iterator[str]:
    """Each pod with the policies that isolate it, and each finding."""
    for pod in found.pods:
        directions = (("ingress", pod.ingress), ("egress", pod.egress))
        said = (
            f"{name} isolated by {', '.join(side)}" if side is not None else f"{name} open"
            for name, side in directions
        )
        yield _line("pod", f"{pod.name}: {'; '.join(said)}")
    for text in found.findings.named:
        yield _line("finding", text)
    if found.findings.count > len(found.findings.named):
        yield _line("", f"and {found.findings.count - len(found.findings.named)} more findings")


def _proved(found: Proven) -> str:
    """Whether the last ruleset that was looked at is what the policies mean, for every packet."""
    when = f"generation {found.generation}, {_moment(found.at)}"
    if found.proved:
        whole = f"; all of it compared at {_moment(found.whole_at)}" if 0 < found.whole_at < found.at else ""
        return f"for every packet: {when}{whole}"
    return f"NOT: {when}: {printable(found.told[0]) if found.told else ''}"


def _findings(found: PolicyFindings) -> str:
    """The first in words: mostly it is the only one."""
    first = printable(found.named[0]) if found.named else ""
    more = f" and {found.count - 1} more" if found.count > 1 else ""
    return f"{first}{more}; `policyd lint` lists all of the same files"


def _objects(found: AgentState) -> Iterator[str]:
    yield _line("objects", ", ".join(f"{known.count} {known.kind}" for known in found.objects) or "none")
    if found.waiting_for:
        yield _line("", f"not all listed yet: {', '.join(found.waiting_for)}")
    ages = [known.stale_seconds for known in found.objects if known.stale_seconds is not None]
    if ages:
        yield _line("", f"known to be complete {_ago(max(ages))} ago")
    for known in found.objects:
        for key, mistakes in list(known.mistakes.items())[:_NAMED]:
            said = f"{known.kind} {key} is not fully understood, and closed as far as it is not"
            more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
            yield _line("", ": ".join((said, *mistakes[:1])) + more)


def holdings(table: KernelTable) -> str:
    """What the tables in the kernel are worth."""
    text = f"generation {table.generation}, which isolates {table.isolated} addresses of pods"
    if not table.bound:
        return text
    ports = f", {table.at_ports} of them to ports of bridges" if table.at_ports else ""
    return f"{text} and binds {table.bound} to interfaces{ports}"


def bindings(known: InterfaceCount) -> str:
    """How many pods of a node are bound to their interfaces, and by what."""
    ways = (
        (known.ports, "to ports of bridges"),
        (known.links, "to links of their own"),
        (known.unbound, "not bound"),
    )
    return ", ".join(f"{count} {way}" for count, way in ways if count) or "no pod with an address"


def own_pods(known: OwnPods) -> str:
    """By whose word a node's pods are known."""
    if known.kubelet:
        return f"the API server and the kubelet, which has {known.pods}"
    return f"the API server alone, as the kubelet cannot be followed: {printable(known.reason)}"


def _without_agent(found: Remains) -> Iterator[str]:
    if found.holder:
        yield f"this node: {printable(found.why)}; but one is at work{found.holder}"
    else:
        yield f"this node: no agent is at work, so changes of policies do not arrive; {printable(found.why)}"
    match found.kernel:
        case None:
            yield _line("kernel", "holds no table of policyd: nothing is enforced")
        case str(reason):
            yield _line("kernel", f"could not be asked: {reason}")
        case KernelTable(foreign=foreign) if foreign:
            yield _line("kernel", f"holds a table into which somebody else wrote: {foreign[0]}")
        case KernelTable() as table:
            yield _line("kernel", f"holds {holdings(table)}; that stays in force")
    if found.disk is not None:
        what = (
            f"holds generation {found.disk}, for after a reboot"
            if isinstance(found.disk, int)
            else found.disk
        )
        yield _line("disk", what)


def _line(name: str, text: str) -> str:
    return f"  {name:10} {printable(text)}"


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _verified(found: AgentState, now: float) -> str:
    """When the kernel's table was last compared with the ruleset, and how often somebody had changed it."""
    if found.verified:
        when = f"the kernel was compared with the ruleset {_ago(now - found.verified)} ago"
    else:
        every = found.settings.get("verify_interval")
        when = (
            f"the kernel is first compared with the ruleset {every:g} s after the start"
            if isinstance(every, int | float)
            else "the kernel was not compared with the ruleset yet"
        )
    if not found.repairs:
        return f"{when}; no repair was needed"
    times = "once" if found.repairs == 1 else f"{found.repairs} times"
    return f"{when}; changed by somebody else and repaired {times}"
