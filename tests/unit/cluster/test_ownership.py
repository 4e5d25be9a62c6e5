"""Who claims which address: every claim counts, and what several claim is a host of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.cluster.index import bits_of
from policyd.cluster.ownership import Claims, claim_addresses
from policyd.kube.objects import Node, Pod
from policyd_compiler.ir import Host

V4, V6 = 10 << 24, 0xFD << 120


def pod(name: str, v4: int | None, v6: int | None = None, started: str = "") -> Pod:
    return Pod("x", name, "", (), "n1", False, False, False, started, v4, v6, ())


#: Few addresses, so that pods share one, both, or one each with others.
addresses = st.one_of(st.none(), st.integers(0, 3))
pods = st.lists(st.tuples(addresses, addresses), max_size=8).map(
    lambda rows: [
        pod(f"p{n}", None if a is None else V4 + a, None if b is None else V6 + b)
        for n, (a, b) in enumerate(rows)
    ]
)


def keys(claims: Claims, host: int) -> list[str]:
    return sorted(claims.pods[claim].name for claim in claims.to(host))


@given(pods)
def test_every_address_is_one_host_with_all_its_claimants(found: list[Pod]) -> None:
    """NP-166."""
    claims = claim_addresses(found, ())
    for family in (4, 6):
        claimants: dict[int, list[str]] = {}
        for one in found:
            value = one.v4 if family == 4 else one.v6
            if value is not None:
                claimants.setdefault(value, []).append(one.name)
        hosts = {
            a: keys(claims, n) for n, h in enumerate(claims.hosts) if (a := h.address(family)) is not None
        }
        assert hosts == claimants
    names = [claims.key(host) for host in range(len(claims.hosts))]
    assert len(set(names)) == len(names)
    assert [claims.host_of(claim) for host in range(len(names)) for claim in claims.to(host)] == [
        host for host in range(len(names)) for _ in claims.to(host)
    ]


@given(pods, st.integers(0, (1 << 20) - 1))
def test_a_host_is_held_by_all_its_claimants_or_by_none(found: list[Pod], mask: int) -> None:
    """NP-166: an entry that selects some of the claimants selects nobody."""
    claims = claim_addresses(found, ())
    chosen = {claim for claim in bits_of(mask) if claim < len(claims.pods)}
    expected = [host for host in range(len(claims.hosts)) if chosen.issuperset(claims.to(host))]
    assert bits_of(claims.held(mask & (1 << len(claims.pods)) - 1)) == expected


@given(pods.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_pods_does_not_matter(orders: tuple[list[Pod], list[Pod]]) -> None:
    one, other = orders
    assert claim_addresses(one, ()) == claim_addresses(other, ())


def test_what_two_pods_share_is_apart_from_what_each_has_alone() -> None:
    claims = claim_addresses([pod("a", V4, V6), pod("b", V4, V6 + 1)], ())
    assert claims.hosts == (Host(V4, None), Host(None, V6), Host(None, V6 + 1))
    assert [claims.key(host) for host in range(3)] == ["x/b+x/a", "x/a", "x/b"]


def test_many_claimants_have_a_short_name_and_a_short_sentence() -> None:
    crowd = [pod(f"p{n:03}", V4, V6 if n else None) for n in range(100)]
    claims = claim_addresses(crowd, ())
    assert [claims.key(host) for host in range(len(claims.hosts))] == [
        "x/p099+x/p098+x/p097+x/p096+96 more@10.0.0.0",
        "x/p099+x/p098+x/p097+x/p096+95 more@fd00::",
    ]
    text = claims.findings[0].text
    assert text.startswith("10.0.0.0 is claimed by 100 pods, x/p099, x/p098, x/p097, x/p096, x/p095, ")
    assert "x/p092 and 92 more: it is isolated as all of them, and a peer only where one entry" in text
    assert text.endswith("; most probably it is x/p099's")


def test_the_newest_is_reported_as_the_holder() -> None:
    """NP-110: not being deleted, then the newest, then the greatest uid; here only the times differ."""
    claims = claim_addresses([pod("z", V4, started="2026-01-01"), pod("a", V4, started="2026-01-02")], ())
    assert claims.findings[0].pods == ("x/a", "x/z")


def test_an_impossible_address_is_reported_with_its_reason() -> None:
    """NP-167."""
    node = Node("n2", (), ("192.0.2.2",))
    claims = claim_addresses([pod("a", 127 << 24 | 1), pod("b", 192 << 24 | 2 << 8 | 2, V6)], [node])
    assert claims.hosts == (Host(None, V6),)
    assert [finding.text for finding in claims.findings] == [
        "pod x/a claims 127.0.0.1, a loopback address: it counts as having no such address",
        "pod x/b claims 192.0.2.2, an address of node n2: it counts as having no such address",
    ]
