"""Namespaces, Nodes and metadata: what the API server adds, and what names may be."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.kind import Kind
from policyd.kube.objects import KubeObject, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.reading import Mistake, ReadingOptions, Severity
from policyd.kube.registry import CLUSTER_NETWORK_POLICY, KINDS
from tests.cases.form import namespace, policy
from tests.oracle import Manifest

NAME_LABEL = "kubernetes.io/metadata.name"


def accept(raw: Manifest, options: ReadingOptions = ReadingOptions()) -> KubeObject:  # noqa: B008 a value
    decoded = decode_manifest(raw, options)
    assert not decoded.refused, decoded.mistakes
    assert decoded.item is not None
    return decoded.item


def refuse(raw: Manifest) -> Mistake:
    [mistake] = [m for m in decode_manifest(raw, ReadingOptions()).mistakes if m.severity == "error"]
    return mistake


def test_a_namespace_has_the_label_of_its_name() -> None:
    """NP-040."""
    assert accept(namespace("x")) == Namespace("x", ((NAME_LABEL, "x"),))
    assert accept(namespace("x", team="a")) == Namespace("x", ((NAME_LABEL, "x"), ("team", "a")))


def test_the_label_of_the_name_cannot_be_set_to_something_else() -> None:
    """NP-040: a server resets it."""
    decoded = decode_manifest(namespace("x", **{NAME_LABEL: "y"}), ReadingOptions())
    assert decoded.item == Namespace("x", ((NAME_LABEL, "x"),))
    assert [m.severity for m in decoded.mistakes] == ["warning"]


def test_a_node_has_the_addresses_that_are_addresses() -> None:
    addresses = [
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "ExternalIP", "address": "2001:DB8::1"},
        {"type": "Hostname", "address": "n1"},
        {"type": "Hostname", "address": "192.0.2.1"},
    ]
    raw = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"addresses": addresses}}
    assert accept(raw) == Node("n1", (), ("192.0.2.1", "2001:db8::1"))


@pytest.mark.parametrize("text", ["", "n1"])
def test_an_address_of_a_node_that_is_none_is_a_warning(text: str) -> None:
    """No policy needs a node's address."""
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "ExternalIP", "address": text}]
    raw = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"addresses": addresses}}
    decoded = decode_manifest(raw, ReadingOptions())
    assert decoded.item == Node("n1", (), ("192.0.2.1",))
    [mistake] = decoded.mistakes
    assert (mistake.severity, mistake.path) == ("warning", ("status", "addresses", 1, "address"))


def test_what_names_no_namespace_is_in_the_default_one() -> None:
    """NP-011."""
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": ""}}
    unnamed = accept(raw)
    named = accept(raw, ReadingOptions(namespace="shop"))
    assert isinstance(unnamed, Pod)
    assert isinstance(named, Pod)
    assert (unnamed.namespace, named.namespace) == ("default", "shop")


@pytest.mark.parametrize("kind", ["Namespace", "Node"])
def test_kinds_without_a_namespace_must_not_name_one(kind: str) -> None:
    raw = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "x"}}
    assert refuse(raw).text == f"a {kind} has no namespace"


LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])  # 253 characters


@pytest.mark.parametrize("name", [LONG, "a", "0", "a-b.c"])
def test_long_names_and_dots_are_legal(name: str) -> None:
    """NP-042."""
    item = accept({**policy("x"), "metadata": {"name": name}})
    assert isinstance(item, NetworkPolicy)
    assert item.name == name


HOSTILE = [
    "A",
    "a_b",
    "-a",
    "a.",
    "",
    LONG + "a",
    "a\n}\ndelete table inet x",
    "a b",
    "ä",
    "a/b",
    "a;b",
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_not_legal_is_refused_and_never_passed_on(name: str) -> None:
    """It would become a chain's name and a comment; kept closed, the policy has another name instead."""
    raw = {**policy("x"), "metadata": {"name": name, "namespace": "x"}}
    assert refuse(raw).path == ("metadata", "name")
    for decoded in (decode_live(raw), decode_manifest(raw, ReadingOptions(refused="close"))):
        assert decoded.item is None or decoded.item.name.startswith("illegal-")


def test_names_that_are_not_legal_stay_apart() -> None:
    items = [decode_live({**policy("x"), "metadata": {"name": name}}).item for name in HOSTILE if name]
    assert len({item.name for item in items if item is not None}) == len(items)


def test_a_namespace_that_is_not_legal_is_never_passed_on() -> None:
    item = decode_live(policy("a\n}")).item
    assert isinstance(item, NetworkPolicy)
    assert item.namespace.startswith("illegal-")


def test_generate_name_is_no_name() -> None:
    raw = {**policy("x"), "metadata": {"generateName": "web-"}}
    assert "generateName is for the API server" in refuse(raw).text


TYPES: list[tuple[str | None, str | None, str | None]] = [
    ("v1", "Pod", None),
    (None, "Pod", "apiVersion is required"),
    ("v1", None, "kind is required"),
    ("v1", "", "kind is required"),
    ("v1", "NetworkPolicy", '"v1" has no NetworkPolicy: use networking.k8s.io/v1'),
    ("networking.k8s.io/v1beta1", "NetworkPolicy", "use networking.k8s.io/v1"),
    ("extensions/v1beta1", "NetworkPolicy", "extensions/v1beta1 no longer exists: use networking.k8s.io/v1"),
    ("networking.k8s.io/v1", "Pod", '"networking.k8s.io/v1" has no Pod: use v1'),
    ("v1", "pods", '"v1" has no kind "pods"; did you mean "Pod"?'),
    ("networking.k8s.io/v1", "NetworkPolcy", 'did you mean "NetworkPolicy"?'),
    ("networking.k8s.io/v1", "PodNetworkPolicy", '"networking.k8s.io/v1" has no kind "PodNetworkPolicy"'),
    ("networking.k8s.io/v1", "NetPol", 'has no kind "NetPol"'),
    ("v1", "Namspace", 'has no kind "Namspace"; did you mean "Namespace"?'),
    ("v1", "Config", 'has no kind "Config"'),
    ("policy.networking.k8s.io/v1alpha1", "NetworkPolicy", "use networking.k8s.io/v1"),
    ("extensions/v1beta1", "NetworkPolcy", 'did you mean "NetworkPolicy"?'),
    # Nobody's business here.
    ("apps/v1", "Deployment", ""),
    ("v1", "Service", ""),
    ("networking.k8s.io/v1", "Ingress", ""),
    ("example.org/v1", "Node", ""),
    ("networking.k8s.io/v1", "IngressClassList", ""),
    ("networking.k8s.io/v1beta1", "ServiceCIDR", ""),
    ("v1", "ConfigMap", ""),
    ("policy.networking.k8s.io/v1alpha1", "ConformanceReport", ""),
    ("gateway.networking.k8s.io/v1", "ConformanceReport", ""),
    ("projectcalico.org/v3", "HostEndpoint", ""),
    ("networking.istio.io/v1", "VirtualService", ""),
    ("policy/v1", "PodDisruptionBudget", ""),
]


@pytest.mark.parametrize(("version", "kind", "mistake"), TYPES)
def test_kinds_and_versions(version: str | None, kind: str | None, mistake: str | None) -> None:
    decoded = decode_manifest(
        {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}, ReadingOptions()
    )
    if mistake is None:
        assert decoded.item is not None
    elif not mistake:
        assert (decoded.item, decoded.mistakes) == (None, ())
    else:
        assert mistake in decoded.mistakes[0].text


#: Groups and kinds as these projects' CustomResourceDefinitions have them.
FOREIGN = [
    ("projectcalico.org/v3", "NetworkPolicy"),
    ("projectcalico.org/v3", "GlobalNetworkPolicy"),
    ("projectcalico.org/v3", "StagedNetworkPolicy"),
    ("crd.projectcalico.org/v1", "NetworkPolicy"),
    ("crd.projectcalico.org/v1", "GlobalNetworkPolicy"),
    ("crd.antrea.io/v1beta1", "NetworkPolicy"),
    ("crd.antrea.io/v1beta1", "ClusterNetworkPolicy"),
    ("security.antrea.tanzu.vmware.com/v1alpha1", "NetworkPolicy"),
    ("cilium.io/v2", "CiliumNetworkPolicy"),
    ("cilium.io/v2", "CiliumClusterwideNetworkPolicy"),
    ("k8s.cni.cncf.io/v1beta1", "MultiNetworkPolicy"),
    ("network.openshift.io/v1", "EgressNetworkPolicy"),
    ("k8s.ovn.org/v1", "EgressFirewall"),
    ("networking.k8s.aws/v1alpha1", "ApplicationNetworkPolicy"),
    ("networking.k8s.aws/v1alpha1", "ClusterNetworkPolicy"),
    ("networking.k8s.aws/v1alpha1", "ClusterPolicyEndpoint"),
    ("networking.k8s.aws/v1alpha1", "PolicyEndpoint"),
    ("vpcresources.k8s.aws/v1beta1", "SecurityGroupPolicy"),
    ("security.istio.io/v1", "AuthorizationPolicy"),
    ("policy.linkerd.io/v1alpha1", "AuthorizationPolicy"),
    ("policy.linkerd.io/v1beta1", "ServerAuthorization"),
    ("kuma.io/v1alpha1", "MeshTrafficPermission"),
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy"),
]


@pytest.mark.parametrize("severity", ["warning", "error"])
@pytest.mark.parametrize(("version", "kind"), FOREIGN)
def test_policies_of_others_are_not_ignored_in_silence(version: str, kind: str, severity: Severity) -> None:
    options = ReadingOptions(foreign_policies=severity)
    decoded = decode_manifest({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}, options)
    [mistake] = decoded.mistakes
    assert (decoded.item, mistake.severity) == (None, severity)
    assert "NOT enforced" in mistake.text


def test_an_answer_of_the_api_server_is_named_for_what_it_is() -> None:
    """`kubectl get --raw` writes its refusal to the same place as the object."""
    raw = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "message": "pods is forbidden", "code": 403}
    assert refuse(raw).text == "this is an API server's answer, not a manifest: pods is forbidden"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "labels", [{"k": 1}, {"k": True}, {"k": ["v"]}, {"-k": "v"}, {"k": "v " * 40}, ["k"]]
)
def test_bad_labels_are_refused_everywhere(kind: Kind[Any], labels: object) -> None:
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}}
    raw = {"apiVersion": kind.version, "kind": kind.name, "metadata": {"name": "a", "labels": labels}}
    if kind is CLUSTER_NETWORK_POLICY:
        raw["spec"] = spec  # without which it is refused for that, too
    assert refuse(raw).path[:2] == ("metadata", "labels")


@pytest.mark.parametrize("metadata", [None, [], "a", {}, {"name": None}, {"name": 7}])
def test_without_a_name_there_is_nothing(metadata: object) -> None:
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    assert decode_live(raw).item is None
    assert refuse(raw).path[0] == "metadata"
