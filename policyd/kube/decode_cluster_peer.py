"""Raw peers and subjects of a ClusterNetworkPolicy → objects. None: not understood.

Other than in a NetworkPolicy, pods without a namespaceSelector are those of all namespaces (CNP-020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from policyd.kube.cidr import is_legacy_cidr, parse_cidr, print_cidr
from policyd.kube.decode_peer import decode_selector
from policyd.kube.objects import IPBlock, LabelSelector, NodePeer, PodPeer, TierPeer
from policyd.kube.reading import Path, Reading, Severity, kind_of
from policyd.kube.syntax import quote
from policyd_compiler.addr import BITS

INGRESS_PEERS = ("namespaces", "pods")
EGRESS_PEERS = ("namespaces", "pods", "nodes", "networks", "domainNames")
PODS = ("podSelector", "namespaceSelector")
#: The CRD's bounds: of every list, and of the text of a block.
MOST = 25
LONGEST_BLOCK = 43
_WORD = r"[a-zA-Z0-9](?:[-a-zA-Z0-9_]*[a-zA-Z0-9])?"
_DOMAIN_NAME = re.compile(rf"(?:\*\.)?(?:{_WORD}\.)+{_WORD}\.?")


def decode_tier_peers(
    rule: Mapping[str, object], side: str, path: Path, reading: Reading, *, masked: bool
) -> tuple[TierPeer, ...] | None:
    """The peers of a rule, its `from` or `to`; None if one of them is not understood (CNP-040, CNP-041).

    `masked`: the server refuses blocks with host bits.
    """
    here = (*path, side)
    if rule.get(side) is None:
        reading.error(path, f"{side} is required: everybody is written as the peers that are meant")
        return None
    written = reading.items(rule[side], here)
    if written is None:
        return None
    if not 1 <= len(written) <= MOST:
        reading.error(here, f"must have from 1 to {MOST} peers, not {len(written)}")
    peers: list[TierPeer] = []
    understood = bool(written)
    for index, entry in enumerate(written):
        found = _decode_peer(entry, side, (*here, index), reading, masked=masked)
        understood = understood and found is not None
        peers.extend(found or ())
    return tuple(dict.fromkeys(peers)) if understood else None


def decode_tier_pods(entry: Mapping[str, object], path: Path, reading: Reading) -> PodPeer | None:
    """Decode `namespaces` or `pods`, the only key of a peer or a subject."""
    if "namespaces" in entry:
        if not _is_given(entry, "namespaces", path, reading):
            return None
        namespaces = _selector(entry["namespaces"], (*path, "namespaces"), reading)
        return None if namespaces is None else PodPeer(namespaces, LabelSelector())
    here = (*path, "pods")
    pods = reading.mapping(entry["pods"], here) if _is_given(entry, "pods", path, reading) else None
    if pods is None:
        return None
    known = reading.fields(pods, here, PODS)
    if "podSelector" not in pods:
        reading.error(here, "podSelector is required: {} selects all pods")
        return None
    selector = _selector(pods["podSelector"], (*here, "podSelector"), reading)
    # Missing is the same as empty: pods of all namespaces.
    namespaces = _selector(pods.get("namespaceSelector"), (*here, "namespaceSelector"), reading)
    return None if selector is None or namespaces is None or not known else PodPeer(namespaces, selector)


def _selector(raw: object, path: Path, reading: Reading) -> LabelSelector | None:
    """A label selector, in which no value is null: of a CRD's objects a server takes such keys away."""
    labels = raw.get("matchLabels") if isinstance(raw, dict) else None
    nulls = [key for key, value in labels.items() if value is None] if isinstance(labels, dict) else []
    for key in nulls:
        reading.error((*path, "matchLabels", key), 'must not be null; for an empty value write ""')
    selector = decode_selector(raw, path, reading)
    return None if nulls else selector


def _decode_peer(
    raw: object, side: str, path: Path, reading: Reading, *, masked: bool
) -> tuple[TierPeer, ...] | None:
    entry = reading.mapping(raw, path)
    if entry is None:
        return None
    keys = INGRESS_PEERS if side == "from" else EGRESS_PEERS
    known = reading.fields(entry, path, keys)
    given = [key for key in keys if key in entry]
    if len(given) != 1:
        reading.error(path, f"must have exactly one of {', '.join(keys)}")
        return None
    if not _is_given(entry, given[0], path, reading) or not known:
        return None
    here = (*path, given[0])
    match given[0]:
        case "networks":
            return _decode_networks(entry["networks"], here, reading, masked=masked)
        case "nodes":
            _refuse_in_standard("nodes", path, reading)
            nodes = _selector(entry["nodes"], here, reading)
            return None if nodes is None else (NodePeer(nodes),)
        case "domainNames":
            _refuse_in_standard("domainNames", path, reading)
            _check_domain_names(entry["domainNames"], here, reading)
            text = "an Accept with them matches nothing, a Deny or a Pass denies everything"
            severity: Severity = "error" if reading.stored else "warning"  # a server takes them
            reading.note(here, f"domain names are not supported: {text}", severity)
            return None
        case _:
            pods = decode_tier_pods(entry, path, reading)
            return None if pods is None else (pods,)


def _is_given(entry: Mapping[str, object], key: str, path: Path, reading: Reading) -> bool:
    """Whether a key has a value: a server takes away null, and with it what it should have selected."""
    if entry[key] is None:
        reading.error((*path, key), "must not be null")
    return entry[key] is not None


def _refuse_in_standard(key: str, path: Path, reading: Reading) -> None:
    """The standard channel prunes these, which leaves a peer that nobody understands."""
    if reading.options.cnp_channel == "standard":
        reading.error((*path, key), f"{key} are not in the standard channel of the CRD")


def _check_domain_names(raw: object, path: Path, reading: Reading) -> None:
    """What the CRD says of them: at least two words, with `*.` before the first or not."""
    written = reading.items(raw, path)
    if written is not None and not 1 <= len(written) <= MOST:
        reading.error(path, f"must have from 1 to {MOST} names, not {len(written)}")
    for index, entry in enumerate(written or ()):
        if not isinstance(entry, str) or not _DOMAIN_NAME.fullmatch(entry):
            text = f"must be a name such as example.com or *.example.com, not {kind_of(entry)}"
            reading.error((*path, index), text)
        elif entry in (written or ())[:index]:
            reading.error((*path, index), f"{quote(entry)} is here already")


def _decode_networks(
    raw: object, path: Path, reading: Reading, *, masked: bool
) -> tuple[IPBlock, ...] | None:
    written = reading.items(raw, path)
    if written is None:
        return None
    if not 1 <= len(written) <= MOST:
        reading.error(path, f"must have from 1 to {MOST} blocks, not {len(written)}")
    seen: dict[str, int] = {}
    found: list[IPBlock] = []
    for index, entry in enumerate(written):
        if not isinstance(entry, str):
            reading.error((*path, index), f"must be a string, not {kind_of(entry)}")
            continue
        if seen.setdefault(entry, index) != index:
            reading.error((*path, index), f"{quote(entry)} is here already")
        block = decode_network(entry, (*path, index), reading, masked=masked)
        if block is not None:
            found.append(block)
    return tuple(found) if found and len(found) == len(written) else None


def decode_network(text: str, path: Path, reading: Reading, *, masked: bool) -> IPBlock | None:
    """One block, of which nothing that was read differently before is taken (CEL's isCIDR); host bits are
    where `masked` does not refuse them (CNP-024)."""
    if len(text) > LONGEST_BLOCK:
        reading.error(path, f"must have at most {LONGEST_BLOCK} characters")
        return None
    try:
        cidr = parse_cidr(text)
    except ValueError as error:
        reading.error(path, str(error))
        return None
    address, _, length = text.partition("/")
    canonical = print_cidr(cidr)
    if length != str(int(length)) or is_legacy_cidr(f"{address}/{BITS[6 if ':' in address else 4]}"):
        reading.error(path, f"{quote(text)} is not a block that a server takes: write {canonical}")
        return None
    if is_legacy_cidr(text) and not reading.stored:
        severity: Severity = "error" if masked else "warning"
        reading.note(path, f"{quote(text)} has bits set beyond its prefix: write {canonical}", severity)
    return IPBlock(cidr)
