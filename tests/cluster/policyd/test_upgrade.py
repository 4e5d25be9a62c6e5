"""Installed, upgraded and uninstalled under traffic: what is allowed is not cut, and the rest stays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from policyd.version import VERSION
from tests.cluster.failures import wait_until
from tests.cluster.policyd.installation import DAEMONSET, NAMESPACE, PLAIN, TABLE, Installation, manifest
from tests.cluster.policyd.removal import remove
from tests.cluster.policyd.traffic import EVERYBODY, FRIENDS, POLICY, SERVER, Traffic, opened_traffic

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

IMAGE = f"policyd:{VERSION}"
NEXT = "policyd:next"
NOWHERE = "policyd:nowhere"
STUCK_SECONDS = 60


@pytest.fixture
def traffic(installation: Installation) -> Iterator[Traffic]:
    """Give traffic in a cluster that has no policyd yet, and a policy that nobody enforces."""
    remove(installation)
    with opened_traffic(installation.cluster) as found:
        assert found.connects() == EVERYBODY
        yield found


@pytest.fixture
def governed(installation: Installation, traffic: Traffic) -> Mapping[str, int]:
    """Install policyd, and give the packets from which on its policy must hold."""
    start = traffic.now()
    installation.install()
    return {**start, **traffic.denied(start)}


def images(installation: Installation) -> set[str]:
    listed = installation.kubectl("get", "pods", "--output", "jsonpath={..spec.containers[*].image}")
    return set(listed.split())


def test_installing_cuts_what_policies_deny_and_nothing_else(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int]
) -> None:
    assert images(installation) == {IMAGE}
    assert traffic.alive() == FRIENDS
    assert traffic.connects() == FRIENDS
    assert (traffic.lost(governed), traffic.leaked(governed)) == ({}, {})


def test_an_upgrade_and_a_downgrade_neither_lose_nor_leak_a_packet(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int], tell: Callable[[str], None]
) -> None:
    installation.tag(IMAGE, NEXT)
    for change, image in (
        (("set", "image", f"--namespace={NAMESPACE}", DAEMONSET, f"policyd={NEXT}"), NEXT),
        (("apply", "--filename", manifest("install", PLAIN)), IMAGE),
        (("rollout", "restart", f"--namespace={NAMESPACE}", DAEMONSET), IMAGE),
    ):
        before = set(installation.pods().values())
        installation.cluster.kubectl(*change)
        installation.roll_out()
        assert before & set(installation.pods().values()) == set()
        assert images(installation) == {image}
        assert (traffic.lost(governed), traffic.leaked(governed)) == ({}, {})
    assert traffic.alive() == FRIENDS
    assert traffic.connects() == FRIENDS
    sent = {name: traffic.now()[name] - first for name, first in governed.items()}
    tell(f"Three rollouts: none lost, none leaked, of these packets: {sent}")


def test_an_image_that_is_nowhere_harms_nobody_and_is_taken_back(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int]
) -> None:
    installation.kubectl("set", "image", DAEMONSET, f"policyd={NOWHERE}")
    waiting = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}"

    def stuck() -> bool:
        return "Image" in installation.kubectl("get", "pods", "--output", waiting)

    check = installation.cluster.check
    wait_until(stuck, "the image was found somewhere", seconds=STUCK_SECONDS, check=check)
    installation.kubectl("rollout", "undo", DAEMONSET)
    installation.roll_out()
    assert images(installation) == {IMAGE}
    assert traffic.alive() == FRIENDS
    assert (traffic.lost(governed), traffic.leaked(governed)) == ({}, {})


def test_rules_outlive_the_agents_and_the_next_ones_take_over(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int]
) -> None:
    cluster = installation.cluster
    cluster.delete("daemonset", "policyd", namespace=NAMESPACE)
    cluster.wait("pod", "--all", namespace=NAMESPACE, until="delete")
    assert traffic.connects() == FRIENDS
    assert (traffic.lost(governed), traffic.leaked(governed)) == ({}, {})

    without = traffic.now()
    cluster.delete("networkpolicy", POLICY, namespace=traffic.pods[SERVER].namespace)
    assert traffic.leaked(without) == {}
    installation.install()
    traffic.allowed(without)
    assert traffic.lost(governed) == {}


def test_uninstalling_frees_what_was_denied_and_cuts_nothing(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int]
) -> None:
    denied = traffic.now()
    assert traffic.leaked(governed) == {}
    installation.uninstall()
    for node in installation.cluster.nodes:
        assert TABLE not in installation.tables(node)
    traffic.allowed(denied)
    assert traffic.connects() == EVERYBODY
    assert traffic.alive() >= FRIENDS
    assert traffic.lost(governed) == {}


#: The other networks that the install pages call run on a real cluster.
@pytest.mark.parametrize(
    "client", ["ptp", {"network": "cilium", "way": "legacy"}], indirect=True, ids=["ptp", "cilium"]
)
def test_the_same_on_another_network(
    installation: Installation, traffic: Traffic, governed: Mapping[str, int]
) -> None:
    test_installing_cuts_what_policies_deny_and_nothing_else(installation, traffic, governed)
