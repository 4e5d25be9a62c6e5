"""What is open to whoever comes is open to a pod that nobody thought of; whom several connections reach."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from hypothesis import assume, given
from hypothesis import strategies as st

from policyd.ask.exposure import exposure
from policyd.ask.hops import hops
from policyd.ask.reach import reach
from policyd_compiler.ports import NOTHING, PortSet
from tests.asking import PROBES, world_of
from tests.cases.form import namespace, pod
from tests.oracle import Connection, Manifest, Oracle
from tests.strategies.clusters import LABELS, NAMESPACE_LABELS, Shape
from tests.strategies.worlds import worlds

STRANGER = "10.250.0.1", "fd00:250::1"
OUTSIDE = "203.0.113.9", "2001:db8:ffff::1"


def _inbound(objects: list[Manifest]) -> Iterator[Manifest]:
    """The same without what policies say of egress: whoever comes may not be let out, which is his matter."""
    for each in objects:
        spec = {key: value for key, value in (each.get("spec") or {}).items() if key != "egress"}
        if each["kind"] == "NetworkPolicy":
            if "Ingress" not in (spec.get("policyTypes") or ["Ingress"]):
                continue
            spec["policyTypes"] = ["Ingress"]
        yield {**each, "spec": spec} if each["kind"].endswith("NetworkPolicy") else each


def labels(vocabulary: dict[str, tuple[str, ...]]) -> st.SearchStrategy[dict[str, str]]:
    """Some of the labels that policies ask for, or none."""
    return st.fixed_dictionaries({}, optional={k: st.sampled_from(each) for k, each in vocabulary.items()})


@given(
    objects=st.one_of(worlds(Shape(conflicts=False)), worlds(Shape(conflicts=False, tiers=3))),
    of_pod=labels(LABELS),
    of_namespace=labels(NAMESPACE_LABELS),
    known=st.booleans(),
)
def test_what_is_open_to_all_is_open_to_a_stranger(
    objects: list[Manifest], of_pod: dict[str, str], of_namespace: dict[str, str], *, known: bool
) -> None:
    """A pod that comes later, perhaps with its namespace, or an address of nobody: by the oracle."""
    found = exposure(world_of(objects))
    names = sorted(each["metadata"]["name"] for each in objects if each["kind"] == "Namespace")
    home = names[0] if known and names else "later"
    stranger = pod(f"{home}/later", *STRANGER, metadata={"labels": of_pod})
    spaces = [] if home in names else [namespace(home, **of_namespace)]
    oracle = Oracle([*_inbound(objects), *spaces, stranger])
    for each in found.exposed:
        if len(each.endpoint.members) != 1 or each.endpoint.id.split("/")[1] != "pod":
            continue
        if each.to == "addresses":  # of one family, at least
            ways = [(OUTSIDE[ip_address(each).version == 6], each) for each in each.endpoint.addresses]
            for protocol, port in PROBES if ways else ():
                if each.ports.allows(protocol.lower(), port or 0):
                    assert any(oracle.verdict(Connection(*way, protocol, port)) for way in ways), each
        for address in each.endpoint.addresses:
            six = ip_address(address).version == 6
            whoever = {"everybody": (STRANGER[six], OUTSIDE[six]), "pods": (STRANGER[six],)}.get(each.to, ())
            for source in whoever:
                for protocol, port in PROBES:
                    if each.ports.allows(protocol.lower(), port or 0):
                        assert oracle.verdict(Connection(source, address, protocol, port)), (each, source)


@given(objects=worlds(), most=st.integers(1, 4), only=st.sampled_from([None, PortSet(((80, 80),))]))
def test_hops_reach_whom_a_search_of_all_pairs_reaches(
    objects: list[Manifest], most: int, only: PortSet | None
) -> None:
    world = world_of(objects)
    assume(world.endpoints)
    first = world.endpoints[0].id
    pairs: dict[tuple[str, str], PortSet] = {}
    for each in reach(world).connections:
        allowed = each.judged.allowed if only is None else each.judged.allowed & only
        if allowed:
            ends = each.sender.id, each.receiver.id
            pairs[ends] = pairs.get(ends, NOTHING) | allowed
    distance = {first: 0}
    for step in range(1, most + 1):
        near = {to for source, to in pairs if source in distance and to not in distance}
        distance |= dict.fromkeys(near, step)
    found = hops(world, [first], most, only)
    assert {way[-1].receiver: len(way) for way in found.ways} == {
        to: step for to, step in distance.items() if step
    }
    assert set(found.unreached) == {each.id for each in world.endpoints} - distance.keys()
    for way in found.ways:
        places = [hop.sender for hop in way] + [way[-1].receiver]
        assert places[0] == first
        for hop, sender, receiver in zip(way, places, places[1:], strict=False):
            assert (hop.sender, hop.receiver) == (sender, receiver)
            assert hop.allowed
            assert hop.allowed - pairs[sender, receiver] == NOTHING
