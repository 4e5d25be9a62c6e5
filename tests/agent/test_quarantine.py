"""What is closed stays closed until it is edited, and each time longer."""

from __future__ import annotations

from policyd.agent.quarantine import Quarantine
from policyd.cluster.state import ClusterState
from policyd.kube.objects import ClusterNetworkPolicy, LabelSelector, NetworkPolicy


def state(*names: str, edited: bool = False) -> ClusterState:
    rules = () if edited else None
    return ClusterState.of(NetworkPolicy("a", name, LabelSelector(), (), rules) for name in names)


def test_a_policy_is_closed_until_it_is_edited_or_gone() -> None:
    found = Quarantine()
    found.add(["a/x", "a/y"], "too large", state("x", "y"), now=0.0)
    assert found.release(state("x", "y"), now=1e6) == {"a/x", "a/y"}
    assert found.release(state("x"), now=1.0) == {"a/x"}
    assert found.reasons() == {"a/x": "too large"}
    assert found.release(state("x", edited=True), now=1.0) == frozenset()


def test_who_is_closed_again_and_again_stays_so_for_longer() -> None:
    found = Quarantine()
    pauses, now, edited = [], 0.0, False
    for _ in range(8):
        found.add(["a/x"], "too large", state("x", edited=edited), now)
        edited = not edited
        closed = found.release(state("x", edited=edited), now)
        until = found.next_release()
        pauses.append((until or now) - now)
        assert closed == (frozenset({"a/x"}) if until else frozenset())
        now = until or now
        assert found.release(state("x", edited=edited), now) == frozenset()
    assert pauses == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_what_was_long_ago_is_forgotten() -> None:
    found = Quarantine()
    found.add(["a/x"], "too large", state("x"), now=0.0)
    found.release(state(), now=1.0)
    found.add(["a/x"], "too large", state("x"), now=1e5)
    assert found.release(state("x", edited=True), now=1e5) == frozenset()


def test_a_policy_of_the_cluster_is_closed_as_others_are() -> None:
    """By its name alone, which no policy of a namespace has."""

    def cluster(priority: int) -> ClusterState:
        policy = ClusterNetworkPolicy("a", "Admin", priority, None, None, None)
        return ClusterState.of((policy, NetworkPolicy("a", "a", LabelSelector(), (), None)))

    found = Quarantine()
    found.add(["a"], "too large", cluster(1), now=0.0)
    assert found.release(cluster(1), now=1e6) == {"a"}
    assert found.release(cluster(2), now=1.0) == frozenset()
