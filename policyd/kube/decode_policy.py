"""Raw NetworkPolicy → object: every default of semantics 1.1, every refusal of the API server.

What cannot be understood matches nothing: a peer or a port entry is left out, an unreadable `podSelector`
selects the whole namespace and allows nothing. Only what is concerned fails closed (decisions 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from policyd.kube.decode_peer import decode_peer, decode_selector
from policyd.kube.metadata import Metadata
from policyd.kube.objects import (
    LINT_IGNORE,
    LabelSelector,
    NetworkPolicy,
    Peer,
    PolicyPort,
    PolicyRule,
)
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading, integer, kind_of
from policyd.kube.syntax import did_you_mean, port_name_mistake

Direction: TypeAlias = Literal["ingress", "egress"]

SPEC = ("podSelector", "ingress", "egress", "policyTypes")
RULE: dict[Direction, tuple[str, str]] = {"ingress": ("from", "ports"), "egress": ("to", "ports")}
PORT = ("port", "protocol", "endPort")
TYPES: dict[str, Direction] = {"Ingress": "ingress", "Egress": "egress"}


def decode_policy(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> NetworkPolicy:
    """Decode a NetworkPolicy whose metadata has been read."""
    namespace, name = metadata.namespace, metadata.name
    _ = reading.mapping(raw.get("status"), ("status",))  # IGNORED, but its type is checked (NP-029)
    spec = reading.mapping(raw.get("spec"), ("spec",))
    source = reading.source(())
    if spec is None:
        return NetworkPolicy(namespace, name, LabelSelector(), (), (), source)
    known = reading.fields(spec, ("spec",), SPEC)
    pods = decode_selector(spec.get("podSelector"), ("spec", "podSelector"), reading)
    directions = _decode_types(spec, reading)
    rules = {key: _decode_rules(spec.get(key), key, reading) for key in TYPES.values()}
    _warn_of_ignored(spec, directions, reading)
    if pods is None or directions is None or not known:
        # What this policy selects, or in which direction, is not understood: isolate, allow nothing.
        isolated = directions or frozenset(TYPES.values())
        rules = {"ingress": (), "egress": ()}
    else:
        isolated = directions
    return NetworkPolicy(
        namespace,
        name,
        pods or LabelSelector(),
        rules["ingress"] if "ingress" in isolated else None,
        rules["egress"] if "egress" in isolated else None,
        source,
        _decode_lint_ignore(raw),
    )


def _decode_lint_ignore(raw: Mapping[str, object]) -> str:
    metadata = raw.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = annotations.get(LINT_IGNORE) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else ""


def _decode_types(spec: Mapping[str, object], reading: Reading) -> frozenset[Direction] | None:
    """The directions the policy isolates in; None if that is not known.

    "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and Egress
    will be set if the NetworkPolicy has any egress rules." (NP-003, NP-004)
    """
    path = ("spec", "policyTypes")
    written = reading.items(spec.get("policyTypes"), path)
    if written is None:
        return None
    if not written:
        has_egress = isinstance(spec.get("egress"), list) and spec.get("egress") != []
        return frozenset(TYPES.values()) if has_egress else frozenset({"ingress"})
    found: set[Direction] = set()
    understood = True
    for index, entry in enumerate(written):
        direction = TYPES.get(entry) if isinstance(entry, str) else None
        if direction is not None:
            found.add(direction)
            continue
        understood = False
        hint = did_you_mean(entry, TYPES) if isinstance(entry, str) else ""
        reading.error((*path, index), f'must be "Ingress" or "Egress", not {kind_of(entry)}{hint}')
    if len(written) > 2:  # [Ingress, Ingress] is accepted, three entries are not (NP-008)
        reading.error(path, f"must have at most two entries, not {len(written)}")
    return frozenset(found) if understood else None


def _warn_of_ignored(
    spec: Mapping[str, object], directions: frozenset[Direction] | None, reading: Reading
) -> None:
    """Rules of a direction that policyTypes does not list are accepted, to no effect (NP-006, NP-007)."""
    for word, direction in TYPES.items():
        rules = spec.get(direction)
        if directions is not None and direction not in directions and isinstance(rules, list) and rules:
            reading.warn(
                ("spec", direction), f'these rules have no effect: policyTypes does not list "{word}"'
            )


def _decode_rules(raw: object, direction: Direction, reading: Reading) -> tuple[PolicyRule, ...]:
    path: Path = ("spec", direction)
    rules = [
        _decode_rule(entry, direction, (*path, index), reading)
        for index, entry in enumerate(reading.items(raw, path) or ())
    ]
    return tuple(rule for rule in rules if rule is not None)


def _decode_rule(raw: object, direction: Direction, path: Path, reading: Reading) -> PolicyRule | None:
    """Decode a rule; null is `{}`, which allows everything (NP-013). None if it is not understood."""
    rule = reading.mapping(raw, path)
    if rule is None:
        return None
    known = reading.fields(rule, path, RULE[direction])
    key = RULE[direction][0]
    written_peers = reading.items(rule.get(key), (*path, key))
    written_ports = reading.items(rule.get("ports"), (*path, "ports"))
    peers = [decode_peer(entry, (*path, key, i), reading) for i, entry in enumerate(written_peers or ())]
    ports = [_decode_port(entry, (*path, "ports", i), reading) for i, entry in enumerate(written_ports or ())]
    if not known or written_peers is None or written_ports is None:
        return None
    return PolicyRule(
        # An empty list is every peer, every port (NP-014 to NP-016); of which nothing was understood, none.
        _understood(peers) if written_peers else None,
        tuple(port for port in ports if port is not None) if written_ports else None,
        reading.source(path),
        _places(peers, (*path, key), reading),
    )


def _understood(peers: list[Peer | None]) -> tuple[Peer, ...]:
    return tuple(peer for peer in peers if peer is not None)


def _places(peers: list[Peer | None], path: Path, reading: Reading) -> tuple[tuple[int, int], ...]:
    """Of the peers that were understood, the number and the line of each, where lines are known."""
    sources = [(i, reading.source((*path, i))) for i, peer in enumerate(peers) if peer is not None]
    return tuple((i, source.line) for i, source in sources if source is not None)


def _decode_port(raw: object, path: Path, reading: Reading) -> PolicyPort | None:
    """Decode a port entry; null is `{}`, all of TCP (NP-017). None if it is not understood."""
    entry = reading.mapping(raw, path)
    if entry is None:
        return None
    known = reading.fields(entry, path, PORT)
    before = len(reading.mistakes)
    protocol = decode_protocol(entry.get("protocol"), (*path, "protocol"), reading)
    port = _decode_number_or_name(entry.get("port"), (*path, "port"), reading)
    end_port = _decode_end_port(entry.get("endPort"), entry.get("port"), (*path, "endPort"), reading)
    if not known or protocol is None or len(reading.mistakes) > before:
        return None
    return PolicyPort(protocol, port, end_port)


def _decode_number_or_name(raw: object, path: Path, reading: Reading) -> int | str | None:
    """A port number, a port name, or None for every port (NP-018)."""
    if raw is None:
        return None
    if isinstance(raw, str):
        reading.error(path, port_name_mistake(raw))
        return raw
    return decode_number(raw, path, reading)


def _decode_end_port(raw: object, port: object, path: Path, reading: Reading) -> int | None:
    """The last port of a range (NP-027): it needs a `port` that is a number and not above it."""
    if raw is None:
        return None
    if port is None:
        reading.error(path, "endPort needs a port, the first of the range")
    elif isinstance(port, str):
        reading.error(path, "endPort needs a port that is a number, not a name")
    end_port = decode_number(raw, path, reading)
    first = integer(port)
    if end_port is not None and first is not None and end_port < first:
        reading.error(path, f"endPort {end_port} must not be below port {first}")
    return end_port
