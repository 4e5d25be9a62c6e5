"""The placement pod: what the node does not see is judged in the pods' own network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agent.agents import nft, run
from tests.cni.bed import Bed, needs_plugins
from tests.networks.beside import Pod, answered, asked, bypass, connected, settled, wire
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, needs_plugins]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A node whose pods are on macvlan."""
    with ExitStack() as stack:
        made = Bed(stack, tmp_path, "macvlan")
        made.outside = wire(made)
        yield made


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[Bed]:
    """A node with a link for each pod."""
    with ExitStack() as stack:
        yield Bed(stack, tmp_path, "ptp")


def flags(bed: Bed, placement: str = "pod") -> tuple[str, ...]:
    return "--placement", placement, "--cni-cache", str(bed.runtime.results)


def test_pods_on_macvlan_are_judged_in_their_namespaces(bed: Bed) -> None:
    """By the node alone they are not, and it says so; by their own namespaces they are, and so it says."""
    web, friend, other = (Pod(bed, name).start() for name in ("web", "friend", "other"))
    with bed.agent("--cni-cache", str(bed.runtime.results)):
        assert answered(other.namespace, web.addresses) == [True] * 4
        until(lambda: "pods-unseen" in bed.conditions())
    with bed.agent(*flags(bed)):
        settled(bed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        assert answered(friend.namespace, web.addresses) == [True, False] * 2
        assert answered(bed.outside, web.addresses) == [False] * 4
        assert answered(web.namespace, other.addresses) == [True] * 4
        until(lambda: not bed.conditions() & {"pods-unseen", "pods-open"})


def table(pod: Pod) -> str:
    """What a pod's own namespace holds of ours."""
    return nft(pod.namespace, "list", "table", "inet", "policyd")


def test_rules_in_a_namespace_follow_policies_and_pods(bed: Bed) -> None:
    """A change of either arrives there; and what somebody flushes in a pod is put back."""
    web, other = (Pod(bed, name).start() for name in ("web", "other"))
    with bed.agent(*flags(bed)):
        settled(bed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        bed.say("other", app="friend")
        until(lambda: answered(other.namespace, web.addresses, 0.3) == [True, False] * 2)
        bed.say("other", app="other")
        until(lambda: answered(other.namespace, web.addresses, 0.3) == [False] * 4)
        nft(web.namespace, "flush", "ruleset")
        until(lambda: "hook prerouting" in table(web))
        assert answered(other.namespace, web.addresses) == [False] * 4
        bed.runtime.stop(other.sandbox)
        bed.manifests.joinpath("other.yaml").unlink()
        until(lambda: "pods-open" not in bed.conditions())


def test_another_agent_goes_on_from_what_is_in_the_namespace(bed: Bed) -> None:
    """Nothing is taken away while none is at work, and nothing is put in its place that is the same."""
    web, other = (Pod(bed, name).start() for name in ("web", "other"))
    with bed.agent(*flags(bed)):
        settled(bed)
        first = table(web)
    assert answered(other.namespace, web.addresses) == [False] * 4
    with bed.agent(*flags(bed)):
        settled(bed)
        assert table(web) == first


def test_a_pod_starts_when_its_namespace_holds_its_rules(bed: Bed) -> None:
    """With the plugin, no packet comes before."""
    bed.install()
    with bed.agent(*flags(bed)):
        other, web = (Pod(bed, name).start() for name in ("other", "web"))
        assert answered(other.namespace, web.addresses) == [False] * 4
        assert answered(web.namespace, other.addresses) == [True] * 4


def test_a_pod_whose_namespace_is_not_known_is_reported(bed: Bed) -> None:
    """Without libcni's results there is no way to it: it is not enforced, and that is what is said."""
    Pod(bed, "web").start()
    bed.say("web", address="10.244.1.2")
    with bed.agent("--placement", "pod"):
        until(lambda: "pods-open" in bed.conditions())


def test_cleanup_takes_the_rules_out_of_the_namespaces(bed: Bed) -> None:
    """Else pods that run on would be held to what nobody follows any more."""
    web, other = (Pod(bed, name).start() for name in ("web", "other"))
    with bed.agent(*flags(bed)):
        settled(bed)
    assert answered(other.namespace, web.addresses) == [False] * 4
    done = run(bed.node, "cleanup", "--cni-cache", str(bed.runtime.results))
    assert done.returncode == 0, done.stderr
    assert "the network namespaces of 2 pods" in done.stderr
    assert answered(other.namespace, web.addresses) == [True] * 4
    assert not table(web)


def test_pods_that_ebpf_carries_past_the_node_are_judged_in_their_namespaces(routed: Bed) -> None:
    """By the node's table alone every packet passes, as it sees none: what was planted is seen to leak."""
    web, other = (Pod(routed, name).start() for name in ("web", "other"))
    bypass(routed, web, other)
    results = "--cni-cache", str(routed.runtime.results)
    with routed.agent(*results):
        assert answered(other.namespace, web.addresses) == [True] * 4
    with routed.agent(*flags(routed)):
        settled(routed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        assert answered(web.namespace, other.addresses) == [True] * 4
        routed.say("other", app="friend")
        until(lambda: answered(other.namespace, web.addresses, 0.3) == [True, False] * 2)


def test_auto_finds_out_which_pods_the_node_does_not_see(bed: Bed) -> None:
    """On macvlan all of them, without being told."""
    web, other = (Pod(bed, name).start() for name in ("web", "other"))
    with bed.agent(*flags(bed, "auto")):
        settled(bed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        until(lambda: not bed.conditions() & {"pods-unseen", "pods-open"})
        told = "2 pods are judged in their own network namespaces"
        assert told in run(bed.node, "status", "--run-dir", str(bed.run_dir)).stdout
        examined = run(bed.node, "doctor", "--run-dir", str(bed.run_dir)).stdout
        [line] = [line for line in examined.splitlines() if line.split()[1:2] == ["inside"]]
        assert line.startswith("ok")
        assert "past" not in examined


def test_auto_follows_a_network_that_changes(routed: Bed) -> None:
    """Routed pods are left to the node, until eBPF carries their packets past it."""
    web, other = (Pod(routed, name).start() for name in ("web", "other"))
    with routed.agent(*flags(routed, "auto")):
        settled(routed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        assert not table(web)
        bypass(routed, web, other)
        until(lambda: table(web))
        settled(routed)
        assert answered(other.namespace, web.addresses) == [False] * 4
        assert answered(web.namespace, other.addresses) == [True] * 4


def test_a_live_connection_that_a_change_denies_is_ended_in_the_namespace(bed: Bed) -> None:
    """What policies still allow goes on."""
    web, friend, other = (
        Pod(bed, name, app).start() for name, app in (("web", ""), ("friend", ""), ("other", "friend"))
    )
    with bed.agent(*flags(bed)):
        settled(bed)
        ends = [connected(pod, web.addresses[0]) for pod in (friend, other)]
        assert [asked(end) for end in ends] == [True, True]
        bed.say("other", app="other")
        until(lambda: not asked(ends[1]))
        assert asked(ends[0])
        for end in ends:
            end.close()
