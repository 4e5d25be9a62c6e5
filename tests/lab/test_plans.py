"""What cannot be built is refused before anything is made."""

from __future__ import annotations

import pytest

from policyd.lab.plan import Bridged, NodePlan, PodPlan, check_plans

NODE = ("192.0.2.1", "2001:db8:1::1")
SPEAKER = ("203.0.113.7", "2001:db8::7")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([NodePlan("n1", ("192.0.2.1",))], "node n1 needs addresses of both families"),
        (
            [NodePlan("n1", NODE, wiring=Bridged(("10.0.0.1",)))],
            "the bridge of node n1 needs a gateway of each",
        ),
        ([NodePlan("n1", NODE, (PodPlan("a/b", ()),))], "pods without an address: a/b"),
        (
            [NodePlan("n1", NODE), NodePlan("n2", NODE)],
            "one address is given to two: 192.0.2.1, 2001:db8:1::1",
        ),
        (
            [NodePlan("n1", NODE, (PodPlan("a/b", ("10.0.0.1",)), PodPlan("a/b", ("10.0.0.2",))))],
            "one name is given to two: a/b",
        ),
        (
            [NodePlan("n1", NODE, (PodPlan("a/b", ("2001:DB8::7",)),))],
            "one address is given to two: 2001:db8::7",
        ),
        (
            [NodePlan("n1", NODE, (PodPlan("a/b", ("10.0.0",)),))],
            "does not appear to be an IPv4 or IPv6 address",
        ),
    ],
)
def test_a_plan_is_refused(nodes: list[NodePlan], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_plans(tuple(nodes), SPEAKER)


def test_the_outside_speaks_both_families() -> None:
    with pytest.raises(ValueError, match="the outside needs an address of each family"):
        check_plans((), ("203.0.113.7",))
