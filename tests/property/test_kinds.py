"""What is said of one connection of a kind is what is said of all that policies treat alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.ask.assertions import Assertion, Expected, judge
from policyd.ask.ends import end_of
from policyd.ask.fits import Packet
from policyd.ask.why import why
from policyd.kube.objects import Source
from tests.asking import ANY_WORLD, world_of
from tests.cases.form import cluster_policy, namespace, pod
from tests.oracle import Manifest


@given(
    objects=ANY_WORLD,
    port=st.sampled_from([80, 53, 65535]),
    expected=st.sampled_from(["allowed", "denied"]),
)
def test_an_assertion_about_all_fails_for_whom_why_says_so(
    objects: list[Manifest], port: int, expected: Expected
) -> None:
    world = world_of(objects)
    result = judge(world, Assertion(expected, ("*",), ("*",), str(port), (), "", Source("t", 1)))
    ends = [end_of(world, endpoint) for endpoint in world.endpoints]
    every = [
        (sender, receiver, why(world, sender, receiver, Packet("TCP", port)).answer)
        for sender in ends
        for receiver in ends
        if sender != receiver
    ]
    assert result.judged == len(every)
    wrong = [(each.sender, each.receiver, each.answer) for each in result.wrong]
    assert wrong == [each for each in every if each[2] != expected]


def test_a_network_of_a_cluster_policy_tells_equal_pods_apart() -> None:
    labels = {"labels": {"app": "web"}}
    everybody = [pod(f"x/{name}", f"10.0.0.{at}", metadata=labels) for at, name in enumerate("ab", 1)]
    denied = cluster_policy("deny", egress=[{"action": "Deny", "to": [{"networks": ["10.0.0.2/32"]}]}])
    world = world_of([namespace("x"), pod("x/c", "10.0.0.9"), *everybody, denied])
    result = judge(world, Assertion("allowed", ("x/c",), ("app=web@x",), "80", (), "", Source("t", 1)))
    assert [each.receiver.text for each in result.wrong] == ["x/pod/b"]
