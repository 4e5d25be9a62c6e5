"""NP003: ipBlocks that say something else than what is written, or say it twice."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.kube.cidr import Written as WrittenCidr
from policyd.kube.cidr import except_mistake, is_legacy_cidr, print_cidr, read_cidr
from policyd.kube.decode_policy import TYPES
from policyd.kube.objects import Cidr, IPBlock, NetworkPolicy
from policyd.kube.reading import Path
from policyd.kube.syntax import quote
from policyd.lint.drafts import Change, Draft, Subject, items, mapping
from policyd.lint.selectors import RULE_SIDES, rules_of


def odd_blocks(subject: Subject) -> Iterator[Draft]:
    """Host bits and odd spelling, excepts that are not inside of their block, and what is there twice."""
    for direction in TYPES.values():
        for number, rule in enumerate(items(subject.spec.get(direction))):
            seen: dict[tuple[str, ...], int] = {}
            side = RULE_SIDES[direction]
            for place, peer in enumerate(items(mapping(rule).get(side))):
                block = mapping(mapping(peer).get("ipBlock"))
                path: Path = ("spec", direction, number, side, place)
                if not block:
                    continue
                yield from _judge_block((*path, "ipBlock"), block)
                key = (str(block.get("cidr")), *sorted(map(str, items(block.get("except")))))
                if seen.setdefault(key, place) != place:
                    yield Draft("NP003", path, f"is the same block as {side}[{seen[key]}]")


def _judge_block(path: Path, block: object) -> Iterator[Draft]:
    raw = mapping(block)
    cidr = _read(raw.get("cidr"))
    yield from _judge_text((*path, "cidr"), raw.get("cidr"), cidr)
    seen: dict[Cidr, int] = {}
    for number, entry in enumerate(items(raw.get("except"))):
        here = (*path, "except", number)
        written = _read(entry)
        yield from _judge_text(here, entry, written)
        if written is None or cidr is None:
            continue
        mistake = except_mistake(cidr, written)
        if mistake is not None:
            yield Draft("NP003", here, f"{mistake}: the API server refuses it", "error")
        elif seen.setdefault(written.cidr, number) != number:
            yield Draft("NP003", here, f"is the same as except[{seen[written.cidr]}]")


def _judge_text(path: Path, raw: object, written: WrittenCidr | None) -> Iterator[Draft]:
    if not isinstance(raw, str) or written is None:
        return
    canonical = print_cidr(written.cidr)
    if raw == canonical:
        return
    meant = f"{quote(raw)} means {canonical}"
    refused = ", and servers refuse it since Kubernetes 1.36" if is_legacy_cidr(raw) else ""
    yield Draft(
        "NP003",
        path,
        f"{meant}{refused}",
        hint=f"write {canonical}",
        change=Change(path, canonical),
        near=True,
    )


def _read(raw: object) -> WrittenCidr | None:
    try:
        return read_cidr(raw) if isinstance(raw, str) else None
    except ValueError:
        return None


def one_family(policy: NetworkPolicy) -> Iterator[Draft]:
    """A rule for all IPv4 addresses, and for no IPv6 one (NP-070, NP-071): odd where pods have both."""
    for path, rule in rules_of(policy):
        side = RULE_SIDES[str(path[1])]
        blocks = [(number, peer) for number, peer in enumerate(rule.peers or ()) if isinstance(peer, IPBlock)]
        families = {peer.cidr.family for _, peer in blocks if peer.cidr is not None}
        for number, peer in blocks:
            if peer.cidr == Cidr(4, 0, 0) and families == {4}:
                yield Draft(
                    "NP003",
                    (*path, side, number),
                    "is for all IPv4 addresses and no IPv6 one, and pods here have both",
                    hint="add an ipBlock for ::/0",
                )
