"""Raw ClusterNetworkPolicy → object: what the CRD refuses is a mistake, and what is not understood closes.

A rule with a peer or a protocol that is not understood says something else than it seems to: an Accept then
matches nothing, and a Deny or a Pass denies everything (CNP-040). Only that rule, of that direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from policyd.kube.decode_cluster_peer import decode_tier_peers, decode_tier_pods
from policyd.kube.decode_cluster_port import decode_tier_ports
from policyd.kube.metadata import Metadata
from policyd.kube.objects import (
    ClusterNetworkPolicy,
    PodPeer,
    PortName,
    Source,
    TierAction,
    TierName,
    TierRule,
)
from policyd.kube.reading import Path, Reading, integer, kind_of
from policyd.kube.syntax import did_you_mean

V1BETA1: Final = "policy.networking.k8s.io/v1beta1"
V1ALPHA2: Final = "policy.networking.k8s.io/v1alpha2"

SPEC = ("tier", "priority", "subject", "ingress", "egress")
SUBJECT = ("namespaces", "pods")
RULE = {"ingress": ("name", "action", "from", "protocols"), "egress": ("name", "action", "to", "protocols")}
TIERS: Mapping[str, TierName] = {"Admin": "Admin", "Baseline": "Baseline"}
ACTIONS: Mapping[str, TierAction] = {"Accept": "Accept", "Deny": "Deny", "Pass": "Pass"}
#: The CRD's bounds of lists, and of a rule's name.
MOST: Final = 25
LONGEST_NAME: Final = 100
LAST_PRIORITY: Final = 1000


def decode_cluster_policy(
    raw: Mapping[str, object], metadata: Metadata, reading: Reading
) -> ClusterNetworkPolicy:
    """Decode a ClusterNetworkPolicy whose metadata has been read."""
    _ = reading.mapping(raw.get("status"), ("status",))
    source = reading.source(())
    spec = reading.mapping(raw.get("spec"), ("spec",))
    if spec is None or "spec" not in raw:
        if spec is not None:
            reading.error((), "spec is required")
        return ClusterNetworkPolicy(metadata.name, "Admin", 0, None, None, None, source)
    known = reading.fields(spec, ("spec",), SPEC)
    tier = _decode_word(spec, "tier", TIERS, ("spec",), reading)
    priority = _decode_priority(spec, reading)
    subject = _decode_subject(spec, reading)
    masked = raw.get("apiVersion") == V1BETA1 and not reading.stored
    ingress = _decode_rules(spec, "ingress", reading, masked=masked)
    egress = _decode_rules(spec, "egress", reading, masked=masked)
    if not known or tier is None or priority is None:
        subject = None  # where it stands among the others is not known, so it has no place (CNP-047)
    return ClusterNetworkPolicy(
        metadata.name,
        cast(TierName, tier or "Admin"),
        priority or 0,
        subject,
        ingress or None,
        egress or None,
        source,
    )


def _decode_word(
    raw: Mapping[str, object], key: str, words: Mapping[str, str], path: Path, reading: Reading
) -> str | None:
    """A word of an enumeration, which must be there; None, and a mistake, if it is none of them."""
    value = raw.get(key)
    word = words.get(value) if isinstance(value, str) else None
    if word is None:
        meant = ", ".join(words)
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        said = f"must be one of {meant}, not {kind_of(value)}{hint}"
        reading.error((*path, key) if key in raw else path, said if key in raw else f"{key} is required")
    return word


def _decode_priority(spec: Mapping[str, object], reading: Reading) -> int | None:
    """From 0, which comes first, to 1000."""
    path: Path = ("spec", "priority")
    if spec.get("priority") is None:
        reading.error(path[:1], "priority is required")
        return None
    number = integer(spec["priority"])
    if number is None or not 0 <= number <= LAST_PRIORITY:
        reading.error(path, f"must be a number from 0 to {LAST_PRIORITY}, not {kind_of(spec['priority'])}")
        return None
    return number


def _decode_subject(spec: Mapping[str, object], reading: Reading) -> PodPeer | None:
    """Whom the policy is about; None if that is not understood: then there is no safe guess (CNP-046)."""
    path: Path = ("spec", "subject")
    if "subject" not in spec:
        reading.error(("spec",), "subject is required")
        return None
    subject = reading.mapping(spec["subject"], path)
    if subject is None:
        return None
    known = reading.fields(subject, path, SUBJECT)
    if len(subject) != 1:
        reading.error(path, "must have either namespaces or pods")
        return None
    return decode_tier_pods(subject, path, reading) if known else None


def _decode_rules(
    spec: Mapping[str, object], direction: str, reading: Reading, *, masked: bool
) -> tuple[TierRule, ...]:
    path: Path = ("spec", direction)
    written = reading.items(spec.get(direction), path)
    if written is None:
        return (TierRule("Deny", None, None),)  # what they were is not known
    if len(written) > MOST:
        reading.error(path, f"must have at most {MOST} rules, not {len(written)}")
    return tuple(
        _decode_rule(entry, direction, (*path, index), reading, masked=masked)
        for index, entry in enumerate(written)
    )


def _decode_rule(raw: object, direction: str, path: Path, reading: Reading, *, masked: bool) -> TierRule:
    source = reading.source(path)
    rule = reading.mapping(raw, path)
    if not rule:
        if rule is not None:
            reading.error(path, f"action and {RULE[direction][2]} are required")
        return TierRule("Deny", None, None, source=source)
    known = reading.fields(rule, path, RULE[direction])
    name = reading.text(rule.get("name"), (*path, "name")) or ""
    if len(name) > LONGEST_NAME:
        reading.error((*path, "name"), f"must have at most {LONGEST_NAME} characters, not {len(name)}")
    action = _decode_word(rule, "action", ACTIONS, path, reading)
    side = RULE[direction][2]
    peers = decode_tier_peers(rule, side, path, reading, masked=masked)
    ports = decode_tier_ports(rule, path, reading)
    if action is None:
        return TierRule("Deny", None, None, name, source)  # never taken for a Pass (CNP-045)
    decided = cast(TierAction, action)
    if peers is None or (ports is None and "protocols" in rule) or not known:
        return _closed(decided, name, source)
    if any(isinstance(port, PortName) for port in ports or ()) and not reading.stored:
        _refuse_names_outside(rule, side, path, reading)
    return TierRule(decided, peers, ports, name, source)


def _closed(action: TierAction, name: str, source: Source | None) -> TierRule:
    """What stands for a rule that is not understood (CNP-040)."""
    if action == "Accept":
        return TierRule("Accept", (), None, name, source)
    return TierRule("Deny", None, None, name, source)


def _refuse_names_outside(rule: Mapping[str, object], side: str, path: Path, reading: Reading) -> None:
    """A rule of the CRD: what is no pod has no named ports (CNP-034)."""
    for index, peer in enumerate(cast(list[object], rule[side])):
        for key in ("networks", "nodes", "domainNames"):
            if isinstance(peer, dict) and key in peer:
                text = f"{key} have no named ports: a rule with destinationNamedPort must not name them"
                reading.error((*path, side, index, key), text)
