"""Rules about ports: NP104, a name that nobody has, and NP105, a Service's port in the place of its pods'."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.kube.objects import NetworkPolicy, PodPeer, PolicyPort, PolicyRule, Protocol
from policyd.kube.reading import Path
from policyd.kube.syntax import quote
from policyd.kube.workloads import Service, ServicePort
from policyd.lint.drafts import Change, Draft, Subject
from policyd.lint.finding import Level
from policyd.lint.nearest import did_you_mean, near
from policyd.lint.seen import Seen, SeenPod
from policyd.lint.selectors import rules_of

#: Of rules for more pods it is not asked whether their ports are a Service's.
MOST_PODS = 1000


def receivers(policy: NetworkPolicy, path: Path, rule: PolicyRule, seen: Seen) -> tuple[int, bool] | None:
    """The pods on which the ports of a rule are looked up, and whether others may be unseen (NP-050, NP-051).

    None where addresses decide, of which nothing is known.
    """
    if path[1] == "ingress":
        return seen.selected(policy) & ~seen.on_host, False
    if rule.peers is None:
        return seen.within(seen.namespaces) & ~seen.on_host, not seen.whole
    mask, others = 0, False
    for peer in rule.peers:
        if not isinstance(peer, PodPeer):
            return None
        mask |= seen.peers(policy, peer)
        others = others or seen.spaces(policy, peer).others
    return mask & ~seen.on_host, others


def names_nobody_has(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP104: a port name that resolves nowhere (NP-054), though there are pods that could have it."""
    policy = subject.policy
    if policy is None:
        return
    for path, rule in rules_of(policy):
        named = [(n, port) for n, port in enumerate(rule.ports or ()) if isinstance(port.port, str)]
        found = receivers(policy, path, rule, seen) if named else None
        if found is None or not found[0]:
            continue
        known = seen.port_names(found[0])
        for number, port in named:
            yield from _judge_name((*path, "ports", number, "port"), port, known, others=found[1])


def _judge_name(
    path: Path, port: PolicyPort, known: frozenset[tuple[str, Protocol]], *, others: bool
) -> Iterator[Draft]:
    name = str(port.port)
    if (name, port.protocol) in known:
        return
    whom = "no selected pod" if path[1] == "ingress" else "no pod that the rule is about"
    protocols = sorted(protocol for other, protocol in known if other == name)
    if protocols:
        message = f"is {quote(name)}, a name that {whom} has for {port.protocol}, but for {protocols[0]}"
        yield Draft("NP104", path, message, hint=f"write protocol: {protocols[0]}", near=True)
        return
    meant = near(name, sorted(other for other, protocol in known if protocol == port.protocol))
    change = Change(path, meant[0]) if len(meant) == 1 else None
    hint = did_you_mean(meant) if meant else ""
    level: Level | None = "note" if others and not meant else None
    yield Draft(
        "NP104", path, f"is {quote(name)}, a name that {whom} has", level, hint, change, near=bool(meant)
    )


def service_ports(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP105: a number that only a Service has; policies are asked behind it, with the pods' own port."""
    policy = subject.policy
    if policy is None or not seen.services:
        return
    for path, rule in rules_of(policy):
        numbered = [(n, port) for n, port in enumerate(rule.ports or ()) if _is_number(port)]
        found = receivers(policy, path, rule, seen) if numbered else None
        if found is None or not found[0]:
            continue
        if path[1] == "egress" and rule.peers is None:
            continue
        if found[0].bit_count() > MOST_PODS:
            continue
        pods = seen.of(found[0])
        written = {port.port for port in rule.ports or ()}
        for number, port in numbered:
            yield from _judge_number((*path, "ports", number, "port"), port, pods, written, seen)


def _is_number(port: PolicyPort) -> bool:
    return isinstance(port.port, int) and port.end_port is None


def _judge_number(
    path: Path, port: PolicyPort, pods: list[SeenPod], written: set[int | str | None], seen: Seen
) -> Iterator[Draft]:
    number = port.port
    assert isinstance(number, int)  # noqa: S101 (`_is_number`)
    if any(pod.has_number(port.protocol, number) for pod in pods):
        return
    ports = [(s, p, pod) for pod in pods for s, p in _leading_to(pod, seen) if p.protocol == port.protocol]
    if any(_targets(p, pod) == {number} for _, p, pod in ports):
        return
    behind = {(s.name, target) for s, p, pod in ports if p.number == number for target in _targets(p, pod)}
    targets = sorted({target for _, target in behind})
    if not targets:
        return
    services = sorted({name for name, _ in behind})
    what = f"is the port of Service {services[0]}, whose pods listen on {' and '.join(map(str, targets))}"
    message = f"{what}: policies are about the pods' own port"
    one = len(targets) == 1
    if one and targets[0] in written:  # the right one is there, too: this one is too much
        yield Draft("NP105", path, message, hint="leave it out", near=True)
        return
    yield Draft(
        "NP105",
        path,
        message,
        hint=f"did you mean {targets[0]}?" if one else "",
        change=Change(path, str(targets[0])) if one else None,
        near=True,
    )


def _leading_to(pod: SeenPod, seen: Seen) -> Iterator[tuple[Service, ServicePort]]:
    labels = set(pod.labels)
    for service in seen.services_in.get(pod.namespace, ()):
        if service.selector is not None and labels.issuperset(service.selector):
            for port in service.ports:
                yield service, port


def _targets(port: ServicePort, pod: SeenPod) -> set[int]:
    if isinstance(port.target, int):
        return {port.target}
    return {p.number for p in pod.ports if p.name == port.target and p.protocol == port.protocol}
