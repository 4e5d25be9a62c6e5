"""The oracle's settings, its reading of old spellings, and what it refuses to judge."""

from __future__ import annotations

import pytest

from tests.cases.form import egress, ingress, policy
from tests.oracle import Connection, Manifest, Oracle, Refused
from tests.oracle.addresses import Address, Block, parse_address, parse_block
from tests.worlds import recorded_world

A, B = "10.244.1.10", "10.244.1.11"  # x/a on n1, x/b on n2
N1, N2 = "192.0.2.1", "192.0.2.2"


def world(*objects: Manifest) -> list[Manifest]:
    return [*recorded_world(), *objects]


@pytest.mark.parametrize(("destination", "exempt"), [(N1, True), (N2, False), (B, False)])
def test_node_egress_exemption_opens_the_own_node_only(destination: str, exempt: bool) -> None:
    """NP-091: the setting for those who want the old habit."""
    closed = world(egress("x", "a"))
    packet = Connection(A, destination, "TCP", 22)
    assert Oracle(closed).verdict(packet) is False
    assert Oracle(closed, node_egress_exempt=True).verdict(packet) is exempt


def test_hairpin_is_judged_only_where_asked_and_only_if_it_left_the_pod() -> None:
    """NP-095, NP-096."""
    closed = world(policy("x", policyTypes=["Ingress", "Egress"]))
    went_out, stayed = Connection(A, A, "TCP", 80, left_pod=True), Connection(A, A, "TCP", 80)
    assert Oracle(closed).verdict(went_out) is True
    assert Oracle(closed, evaluate_hairpin=True).verdict(went_out) is False
    assert Oracle(closed, evaluate_hairpin=True).verdict(stayed) is True


def test_a_node_answers_for_its_own_pods_only() -> None:
    oracle = Oracle(world(egress("x", "a"), ingress("x", "b")))
    assert [oracle.node_verdict(Connection(A, B, "TCP", 80), node) for node in ("n1", "n2")] == [False, False]
    assert [oracle.node_verdict(Connection(B, A, "TCP", 80), node) for node in ("n1", "n2")] == [True, True]
    only_ingress = Oracle(world(ingress("x", "b")))
    assert [only_ingress.node_verdict(Connection(A, B, "TCP", 80), n) for n in ("n1", "n2")] == [True, False]


def test_a_nodes_own_process_is_known_by_where_it_runs() -> None:
    """NP-145: by origin, not by address, so that any address of the node will do."""
    oracle = Oracle(world(ingress("x", "a")))
    assert oracle.verdict(Connection("198.51.100.99", A, "TCP", 80, local_node="n1")) is True
    assert oracle.verdict(Connection("198.51.100.99", A, "TCP", 80, local_node="n2")) is False


def test_a_list_is_expanded() -> None:
    """NP-011."""
    wrapped: Manifest = {"apiVersion": "v1", "kind": "List", "items": world(ingress("x", "b"))}
    assert Oracle([wrapped]).verdict(Connection(A, B, "TCP", 80)) is False


def test_explanation_names_the_policy() -> None:
    oracle = Oracle(world(ingress("x", "b", name="closed")))
    expected = f"DENY {A} > {B} TCP/80: ingress of x/b: isolated by x/closed"
    assert oracle.explain(Connection(A, B, "TCP", 80)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1/8", Block(4, 10 << 24, (11 << 24) - 1)),
        ("010.0.0.0/08", Block(4, 10 << 24, (11 << 24) - 1)),
        ("::ffff:10.0.0.0/104", Block(4, 10 << 24, (11 << 24) - 1)),
        ("::ffff:0:0/96", Block(4, 0, (1 << 32) - 1)),
        ("::ffff:0:0/90", Block(6, 0xFFC0 << 32, (0x10000 << 32) - 1)),
        ("FD00:0:0::/8", Block(6, 0xFD << 120, (0xFE << 120) - 1)),
        ("::/0", Block(6, 0, (1 << 128) - 1)),
        *(
            (text, None)
            for text in ("", "/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129")
        ),
        *((text, None) for text in (" 10.0.0.0/8", "10.0.0.0/+8", "1.2.3/24", "256.0.0.0/8", "fe80::1%a/64")),
        *(
            (text, None)
            for text in (":::/0", "1:2:3:4:5:6:7:8::/64", "1:2:3/8", "::1::/8", ":1:2:3:4:5:6:7/8")
        ),
        *((text, None) for text in (None, 8, "10.0.0.0/٨", "::12345/8", "1.2.3.4:1::/8")),
    ],
)
def test_cidr_text_is_read_as_the_api_server_reads_it(text: object, expected: Block | None) -> None:
    """NP-077 to NP-081, NP-088, NP-089."""
    assert parse_block(text) == expected


def test_a_mapped_address_is_ipv4() -> None:
    assert parse_address("::ffff:10.0.0.1") == parse_address("010.0.0.001") == Address(4, (10 << 24) + 1)


@pytest.mark.parametrize(
    "refused",
    [
        {**policy("x"), "apiVersion": "extensions/v1beta1"},
        ingress("x", "b", {"from": [{}]}),
        ingress(
            "x", "b", {"from": [{"podSelector": {"matchExpressions": [{"key": "k", "operator": "Gt"}]}}]}
        ),
        {"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "ClusterNetworkPolicy"},
    ],
)
def test_what_has_no_meaning_has_no_verdict(refused: Manifest) -> None:
    with pytest.raises(Refused):
        Oracle(world(refused)).verdict(Connection(A, B, "TCP", 80))


@pytest.mark.parametrize(
    ("source", "proto", "port"),
    [
        ("fd00::1", "TCP", 80),
        (A, "TCP", None),
        (A, "ICMP", 8),
        (A, "GRE", None),
        (A, "ND", None),
        ("a", "TCP", 80),
    ],
)
def test_an_impossible_connection_is_a_mistake(source: str, proto: str, port: int | None) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 its own sentence for each
        Connection(source, B, proto, port)
