"""Which pods claim an address. Who claims none that a pod can have takes no part in policy.

A host of the IR is a set of claimants, with the addresses that exactly they claim. Mostly that is one pod
with its addresses. Of several nobody knows who sends, so their packets are judged as all of theirs (NP-166).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from policyd.cluster.findings import Finding, claimed, impossible, key_of
from policyd.cluster.index import bits_of
from policyd.kube.cidr import parse_cidr, parse_ip
from policyd.kube.objects import Node, Pod
from policyd_compiler.addr import prefix_interval, print_address
from policyd_compiler.ir import Host

#: No pod can hold these (NP-167), and why.
_NOBODYS = tuple(
    (cidr.family, prefix_interval(cidr.family, cidr.network, cidr.prefix), why)  # type: ignore[arg-type]
    for why, texts in (
        ("the unspecified address", ("0.0.0.0/32", "::/128")),
        ("a loopback address", ("127.0.0.0/8", "::1/128")),
        ("a link-local address", ("169.254.0.0/16", "fe80::/10")),
        ("a multicast address", ("224.0.0.0/4", "ff00::/8")),
        ("the broadcast address", ("255.255.255.255/32",)),
    )
    for cidr in map(parse_cidr, texts)
)
#: By family: where the first byte of an address is, and the first bytes of those, which few others have.
_FIRST_BYTES = {
    family: (
        shift,
        frozenset(
            byte
            for of, (low, high), _ in _NOBODYS
            if of == family
            for byte in range(low >> shift, (high >> shift) + 1)
        ),
    )
    for family, shift in ((4, 24), (6, 120))
}
#: Claimants that the key of an endpoint names; of more its address is in the key.
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Claims:
    """Who claims what.

    Bit i of a mask of claims stands for `pods[i]`. The bits below `len(hosts)` are also those of the hosts,
    each with the pod that is reported as holding it; the bits from there on are further claims, to the hosts
    in `further`. `disputed` is the mask of the hosts that several pods claim, `rivals` the claims to each.
    """

    pods: tuple[Pod, ...]
    hosts: tuple[Host, ...]
    further: tuple[int, ...]
    disputed: int
    rivals: Mapping[int, int]
    findings: tuple[Finding, ...]

    def host_of(self, claim: int) -> int:
        """The host of a claim, by their bits."""
        return claim if claim < len(self.hosts) else self.further[claim - len(self.hosts)]

    def to(self, host: int) -> list[int]:
        """The claims to a host, by their bits."""
        return bits_of(self.rivals[host]) if host in self.rivals else [host]

    def held(self, claims: int) -> int:
        """The hosts of which every claim is among these (NP-166)."""
        if not self.disputed:  # each claim is a host
            return claims
        hosts = claims & (1 << len(self.hosts)) - 1
        for host in bits_of(hosts & self.disputed):
            if self.rivals[host] & ~claims:
                hosts ^= 1 << host
        return hosts

    def touched(self, claims: int) -> int:
        """The hosts of which any claim is among these (NP-166)."""
        if not self.disputed:
            return claims
        hosts = claims & (1 << len(self.hosts)) - 1
        for host, rivals in self.rivals.items():
            if rivals & claims:
                hosts |= 1 << host
        return hosts

    def key(self, host: int) -> str:
        """A name for a host: that of its pod, or of all its claimants. No two hosts have the same."""
        return name_of(self.hosts[host], [self.pods[claim] for claim in self.to(host)])


def name_of(host: Host, claimants: Sequence[Pod]) -> str:
    """A name for a host of these claimants."""
    names = [key_of(pod) for pod in claimants]
    if len(names) <= _NAMED:
        return "+".join(names)
    addresses = ",".join(
        print_address(family, value) for family in (4, 6) if (value := host.address(family)) is not None
    )
    return f"{'+'.join(names[:_NAMED])}+{len(names) - _NAMED} more@{addresses}"


def claim_addresses(pods: Iterable[Pod], nodes: Iterable[Node], *, without_address: bool = False) -> Claims:
    """Find every pod's claims. What one pod claims alone is one host, what some claim together another.

    `without_address`: a pod that has no address, or none that it can have, is a host that has none, too. No
    ruleset has use for it, but policies say what it may do.
    """
    # Host-network pods share the node's addresses (NP-092); a terminal pod's may be reused (NP-100).
    eligible = [pod for pod in pods if not pod.host_network and not pod.terminal]
    of_nodes = addresses_of_nodes(nodes)
    findings: list[Finding] = []
    first: dict[int, dict[int, Pod]] = {4: {}, 6: {}}
    several: dict[int, dict[int, list[Pod]]] = {4: {}, 6: {}}
    for family, by_address in first.items():
        shift, odd = _FIRST_BYTES[family]
        for pod in eligible:
            value = pod.v4 if family == 4 else pod.v6
            if value is None:
                continue
            if value >> shift in odd or value in of_nodes[family]:
                why = why_impossible(family, value, of_nodes[family])
                if why:
                    findings.append(impossible(pod, family, value, why))
                    continue
            other = by_address.setdefault(value, pod)
            if other is not pod:
                several[family].setdefault(value, [other]).append(pod)
    rows: list[tuple[list[Pod], Host]] = []
    for pod in eligible:
        v4 = (
            pod.v4
            if pod.v4 is not None and pod.v4 not in several[4] and first[4].get(pod.v4) is pod
            else None
        )
        v6 = (
            pod.v6
            if pod.v6 is not None and pod.v6 not in several[6] and first[6].get(pod.v6) is pod
            else None
        )
        if v4 is not None or v6 is not None:
            rows.append(([pod], Host(v4, v6)))
    rows.extend(_shared(several, findings))
    if without_address:
        held = {id(pod) for claimants, _ in rows for pod in claimants}
        rows.extend(([pod], Host(None, None)) for pod in eligible if id(pod) not in held)
    rows.sort(key=lambda row: address_order(row[1]))
    return _number(rows, tuple(sorted(findings)))


def _shared(
    several: Mapping[int, Mapping[int, list[Pod]]], findings: list[Finding]
) -> Iterator[tuple[list[Pod], Host]]:
    """What the same pods claim together: who most probably holds it comes first. Each address is reported."""
    groups: dict[tuple[str, ...], tuple[list[Pod], dict[int, int]]] = {}
    for family, by_address in several.items():
        for value, claimants in by_address.items():
            claimants.sort(key=rank, reverse=True)
            findings.append(claimed(claimants, family, value))
            key = tuple(map(key_of, claimants))
            groups.setdefault(key, (claimants, {}))[1][family] = value
    for claimants, held in groups.values():
        yield claimants, Host(held.get(4), held.get(6))


def _number(rows: list[tuple[list[Pod], Host]], findings: tuple[Finding, ...]) -> Claims:
    pods = [found[0] for found, _ in rows]
    further: list[int] = []
    rivals: dict[int, int] = {}
    for host, (found, _) in enumerate(rows):
        if len(found) > 1:
            more = len(found) - 1
            rivals[host] = 1 << host | (1 << more) - 1 << len(pods)
            pods.extend(found[1:])
            further.extend([host] * more)
    disputed = sum(1 << host for host in rivals)
    return Claims(tuple(pods), tuple(host for _, host in rows), tuple(further), disputed, rivals, findings)


def why_impossible(family: int, value: int, of_nodes: Mapping[int, str]) -> str:
    """Why no pod can hold an address (NP-167); "" if one can."""
    for of, (low, high), why in _NOBODYS:
        if of == family and low <= value <= high:
            return why
    return f"an address of node {of_nodes[value]}" if value in of_nodes else ""


def addresses_of_nodes(nodes: Iterable[Node]) -> dict[int, dict[int, str]]:
    """The addresses of nodes by family, and the name of the node of each."""
    found: dict[int, dict[int, str]] = {4: {}, 6: {}}
    for node in nodes:
        for text in node.addresses:
            family, value = _number_of(text)
            found[family][value] = node.name
    return found


@lru_cache(maxsize=1 << 15)
def _number_of(text: str) -> tuple[int, int]:
    return parse_ip(text)


def rank(pod: Pod) -> tuple[bool, str, str, str, str]:
    """Not deleting, then the newest, then the greatest uid: who is reported as the holder (NP-110)."""
    return (not pod.deleting, pod.started, pod.uid, pod.namespace, pod.name)


def address_order(host: Host) -> tuple[int, int]:
    """An order that depends on nothing else: no two hosts have one address."""
    return (1 << 32 if host.v4 is None else host.v4, -1 if host.v6 is None else host.v6)
