"""AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1) → ClusterNetworkPolicy (v1beta1). Pure.

Raw values in, manifests out; every verdict stays. What cannot be said any more is a mistake with its path,
and so is what nobody knows: a key that was passed over would make a rule wider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from policyd.kube.cidr import parse_cidr, print_cidr
from policyd.kube.kind import Manifest
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading, integer, kind_of

T = TypeVar("T")

OLD: Final = "policy.networking.k8s.io/v1alpha1"
ADMIN: Final = "AdminNetworkPolicy"
BASELINE: Final = "BaselineAdminNetworkPolicy"
#: The most entries of any list of the new kind.
MOST: Final = 25
LAST_PRIORITY: Final = 1000
_ACTIONS: Final = {"Allow": "Accept", "Deny": "Deny", "Pass": "Pass"}
_SPEC: Final = ("subject", "ingress", "egress")
_SIDES: Final = {"ingress": "from", "egress": "to"}


@dataclass(frozen=True, slots=True)
class Converted:
    """What one policy becomes: its tier, where it stood, and its rules, of which there may be too many."""

    name: str
    tier: str
    priority: int
    metadata: Manifest
    subject: object
    ingress: tuple[Manifest, ...]
    egress: tuple[Manifest, ...]

    @property
    def parts(self) -> int:
        """How many policies it takes."""
        return max(1, *(-(-len(rules) // MOST) for rules in (self.ingress, self.egress)))


def is_old(raw: Mapping[str, object]) -> bool:
    """Whether this is a policy of the kinds that are converted."""
    return raw.get("apiVersion") == OLD and raw.get("kind") in (ADMIN, BASELINE)


def convert(raw: Mapping[str, object], baseline_priority: int, reading: Reading) -> Converted | None:
    """What a policy becomes; None, and mistakes, if that is not known."""
    kind = str(raw["kind"])
    metadata = reading.mapping(raw.get("metadata"), ("metadata",)) or {}
    spec = reading.mapping(raw.get("spec"), ("spec",))
    name = reading.text(metadata.get("name"), ("metadata", "name"))
    if not name:
        reading.error(("metadata", "name"), "required")
    if not spec:
        reading.error((), "spec is required")
    if not name or not spec:
        return None
    reading.fields(spec, ("spec",), ("priority", *_SPEC) if kind == ADMIN else _SPEC)
    priority = integer(spec.get("priority")) if kind == ADMIN else baseline_priority
    if priority is None or not 0 <= priority <= LAST_PRIORITY:
        reading.error(("spec", "priority"), f"must be a number from 0 to {LAST_PRIORITY}")
    rules = {direction: tuple(_rules(spec, direction, reading)) for direction in _SIDES}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    tier = "Admin" if kind == ADMIN else "Baseline"
    subject = _pods(spec.get("subject"), ("spec", "subject"), reading)
    if any(mistake.severity == "error" for mistake in reading.mistakes):
        return None
    return Converted(name, tier, priority or 0, kept, subject, rules["ingress"], rules["egress"])


def manifests(policy: Converted, name: str, priorities: Sequence[int]) -> Iterator[Manifest]:
    """The policies that it takes, with one of these priorities each, ascending."""
    for part, priority in enumerate(priorities):
        spec: Manifest = {"tier": policy.tier, "priority": priority, "subject": policy.subject}
        for direction, rules in (("ingress", policy.ingress), ("egress", policy.egress)):
            if chosen := rules[part * MOST : (part + 1) * MOST]:
                spec[direction] = list(chosen)
        called = name if part == 0 else f"{name}-{part + 1}"
        yield {
            "apiVersion": "policy.networking.k8s.io/v1beta1",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": called, **policy.metadata},
            "spec": spec,
        }


def _rules(spec: Mapping[str, object], direction: str, reading: Reading) -> Iterator[Manifest]:
    path: Path = ("spec", direction)
    for index, raw in enumerate(reading.items(spec.get(direction), path) or ()):
        yield from _rule(raw, _SIDES[direction], (*path, index), reading)


def _rule(raw: object, side: str, path: Path, reading: Reading) -> Iterator[Manifest]:
    """One rule, or as many as it takes: with all peers and ports together they say the same."""
    rule = reading.mapping(raw, path)
    if rule is None:
        return
    reading.fields(rule, path, ("name", "action", side, "ports"))
    action = rule.get("action")
    if action not in _ACTIONS:
        reading.error((*path, "action"), f"must be Allow, Deny or Pass, not {kind_of(action)}")
        return
    peers = [
        peer
        for index, entry in enumerate(reading.items(rule.get(side), (*path, side)) or ())
        for peer in _peer(entry, (*path, side, index), reading)
    ]
    if not peers:
        reading.error((*path, side), "required")
    named: Manifest = {"name": rule["name"]} if rule.get("name") else {}
    base: Manifest = {**named, "action": _ACTIONS[action]}
    if rule.get("ports") is None:
        yield from ({**base, side: some} for some in _chunks(peers))
        return
    written = reading.items(rule["ports"], (*path, "ports")) or []
    ports = [_port(entry, (*path, "ports", index), reading) for index, entry in enumerate(written)]
    if not ports:
        reading.error((*path, "ports"), "must not be empty")
    for some in _chunks(peers):
        yield from ({**base, side: some, "protocols": these} for these in _chunks(ports))


def _peer(raw: object, path: Path, reading: Reading) -> Iterator[Manifest]:
    entry = reading.mapping(raw, path)
    if entry is None:
        return
    keys = [key for key in entry if entry[key] is not None]
    if len(keys) != 1:
        reading.error(path, "must have exactly one of namespaces, pods, nodes, networks, domainNames")
        return
    (key,) = keys
    match key:
        case "namespaces" | "pods":
            found = _pods(entry, path, reading)
            if found is not None:
                yield found
        case "nodes":
            yield {"nodes": entry[key]}
        case "networks" | "domainNames":
            texts = reading.items(entry[key], (*path, key)) or []
            if key == "networks":
                texts = [_network(text, (*path, key, n), reading) for n, text in enumerate(texts)]
            for some in _chunks(list(dict.fromkeys(map(str, texts)))):
                yield {key: some}
        case _:
            reading.fields(entry, path, ("namespaces", "pods", "nodes", "networks", "domainNames"))


def _pods(raw: object, path: Path, reading: Reading) -> Manifest | None:
    """`namespaces` or `pods`, in the last shape or in that of v0.1.1, which wrapped selectors once more."""
    entry = reading.mapping(raw, path)
    keys = [key for key in entry or () if entry and entry[key] is not None]
    if entry is None or len(keys) != 1 or keys[0] not in ("namespaces", "pods"):
        reading.error(path, "must have either namespaces or pods")
        return None
    if keys[0] == "namespaces":
        selector = _unwrapped(entry["namespaces"], (*path, "namespaces"), reading)
        return None if selector is None else {"namespaces": selector}
    here = (*path, "pods")
    pods = reading.mapping(entry["pods"], here) or {}
    reading.fields(pods, here, ("podSelector", "namespaceSelector", "namespaces"))
    out: Manifest = {"podSelector": pods.get("podSelector") or {}}
    if "namespaces" in pods:
        out["namespaceSelector"] = _unwrapped(pods["namespaces"], (*here, "namespaces"), reading)
    elif pods.get("namespaceSelector"):
        out["namespaceSelector"] = pods["namespaceSelector"]
    return {"pods": out}


def _unwrapped(raw: object, path: Path, reading: Reading) -> object:
    selector = reading.mapping(raw, path)
    if selector is None:
        return None
    for key in ("sameLabels", "notSameLabels"):
        if key in selector:
            reading.error((*path, key), f"{key} cannot be said any more: write a policy for each value")
            return None
    if set(selector) == {"namespaceSelector"}:
        return reading.mapping(selector["namespaceSelector"], (*path, "namespaceSelector"))
    return dict(selector)


def _network(raw: object, path: Path, reading: Reading) -> object:
    """A block as v1beta1 takes it: without host bits, which never meant anything."""
    if not isinstance(raw, str):
        reading.error(path, f"must be a string, not {kind_of(raw)}")
        return ""
    try:
        return print_cidr(parse_cidr(raw))
    except ValueError as error:
        reading.error(path, str(error))
        return ""


def _port(raw: object, path: Path, reading: Reading) -> Manifest:
    entry = reading.mapping(raw, path) or {}
    reading.fields(entry, path, ("portNumber", "portRange", "namedPort"))
    if len(entry) != 1:
        reading.error(path, "must have exactly one of portNumber, portRange, namedPort")
        return {}
    if "namedPort" in entry:
        return {"destinationNamedPort": entry["namedPort"]}
    ((key, value),) = entry.items()
    here = (*path, key)
    body = reading.mapping(value, here) or {}
    protocol = decode_protocol(body.get("protocol"), (*here, "protocol"), reading)
    if key == "portNumber":
        reading.fields(body, here, ("protocol", "port"))
        start = end = decode_number(body.get("port"), (*here, "port"), reading)
    else:
        reading.fields(body, here, ("protocol", "start", "end"))
        start = decode_number(body.get("start"), (*here, "start"), reading)
        end = decode_number(body.get("end"), (*here, "end"), reading)
    if protocol is None or start is None or end is None:
        return {}
    if start > end:
        reading.error(here, f"start must not be above end: {start} is above {end}")
    port: Manifest = {"number": start} if start == end else {"range": {"start": start, "end": end}}
    return {protocol.lower(): {"destinationPort": port}}


def _chunks(entries: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(entries), MOST):
        yield entries[start : start + MOST]
