"""Who becomes an endpoint. Packets do not show all of it: a node's own pass before any policy is asked."""

from __future__ import annotations

from policyd.cluster.attachments import Attachments, attached
from policyd.cluster.resolve import resolve
from policyd.cluster.state import ClusterState
from policyd.kube.decode import decode_live
from policyd_compiler.ir import Attachment
from tests.cases.form import pod, policy
from tests.oracle import Manifest

DENY_ALL = policy("x", policyTypes=["Ingress", "Egress"])


def endpoints(*objects: Manifest) -> dict[str, bool]:
    """The endpoints of node n1 under a policy for all pods, and whether both directions are isolated."""
    decoded = (decode_live(raw).item for raw in (DENY_ALL, *objects))
    snapshot = resolve(ClusterState.of(item for item in decoded if item is not None), "n1").snapshot
    return {e.key: e.ingress is not None and e.egress is not None for e in snapshot.endpoints}


def test_a_pod_on_the_network_of_its_node_is_no_endpoint() -> None:
    """NP-092: else a change of policy would end connections of the node itself."""
    host = pod("x/host", "192.0.2.1", "2001:db8:1::1", spec={"hostNetwork": True})
    assert endpoints(pod("x/a", "10.244.1.1"), host) == {"x/a": True}


def test_a_pod_that_has_ended_is_no_endpoint() -> None:
    """NP-100, NP-101."""
    for phase in ("Succeeded", "Failed"):
        assert endpoints(pod("x/a", "10.244.1.1", status={"phase": phase})) == {}


def test_a_pod_of_another_node_is_no_endpoint() -> None:
    """A node judges for its own pods only."""
    assert endpoints(pod("x/far", "10.244.2.1", node="n2")) == {}


def test_a_pod_that_no_node_runs_is_no_endpoint() -> None:
    """Not of every node, either; manifests may say so."""
    assert endpoints(pod("x/a", "10.244.1.1", spec={"nodeName": None})) == {}


def test_what_several_pods_claim_is_attached_where_one_of_them_is() -> None:
    """NP-166: the first that is attached here; the others may not send with it (NP-162)."""
    objects = (pod("x/a", "10.244.1.1", node="n1"), pod("x/b", "10.244.1.1", node="n2"))
    decoded = (decode_live(raw).item for raw in objects)
    state = ClusterState.of(item for item in decoded if item is not None)
    attachments = Attachments({"x/a": Attachment("veth0")})
    [endpoint] = attached(resolve(state, "n1").snapshot, attachments).endpoints
    assert (endpoint.claimants, endpoint.attachments) == (("x/b", "x/a"), (Attachment("veth0"),))
