"""The kinds that policyd follows: one row each. A further kind is one more row, and its own code.

What reads, keeps, writes or watches objects takes the rows as a parameter, `kinds`, and these unless given
otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeVar

from policyd.kube.decode_cluster_policy import decode_cluster_policy
from policyd.kube.decode_endpoints import decode_endpoints
from policyd.kube.decode_place import decode_namespace, decode_node
from policyd.kube.decode_pod import decode_pod
from policyd.kube.decode_policy import decode_policy
from policyd.kube.decode_publishing import GATEWAY, decode_grant, ingress_decoder, route_decoder
from policyd.kube.decode_service import decode_service
from policyd.kube.decode_workload import CRON_TEMPLATE, TEMPLATE, decode_owned_pod, workload_decoder
from policyd.kube.encode_cluster_policy import encode_cluster_policy
from policyd.kube.encode_place import encode_namespace, encode_node
from policyd.kube.encode_pod import encode_pod
from policyd.kube.encode_policy import encode_policy
from policyd.kube.encode_publishing import (
    encode_grant,
    encode_ingress,
    rename_grant,
    rename_publisher,
    route_encoder,
)
from policyd.kube.encode_workload import encode_endpoints, encode_service, workload_encoder
from policyd.kube.kind import Kind, Kinds
from policyd.kube.objects import ClusterNetworkPolicy, Namespace, NetworkPolicy, Node, Pod
from policyd.kube.publishing import (
    GRPCRoute,
    HTTPRoute,
    Ingress,
    Publisher,
    ReferenceGrant,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from policyd.kube.rename import (
    rename_cluster_policy,
    rename_namespace,
    rename_node,
    rename_pod,
    rename_policy,
)
from policyd.kube.rename_workload import rename_endpoints, rename_service, rename_workload
from policyd.kube.syntax import dns_label_mistake
from policyd.kube.workloads import (
    CronJob,
    DaemonSet,
    Deployment,
    EndpointSlice,
    Job,
    ReplicaSet,
    ReplicationController,
    Service,
    StatefulSet,
    Workload,
)

W = TypeVar("W", bound=Workload)
P = TypeVar("P", bound=Publisher)

CLUSTER_NETWORK_POLICY: Final = Kind(
    name="ClusterNetworkPolicy",
    item=ClusterNetworkPolicy,
    version="policy.networking.k8s.io/v1beta1",
    plural="clusternetworkpolicies",
    namespaced=False,
    decode=decode_cluster_policy,
    encode=encode_cluster_policy,
    rename=rename_cluster_policy,
    policy=True,
    optional=True,
    older=("policy.networking.k8s.io/v1alpha2",),
)
NAMESPACE: Final = Kind(
    name="Namespace",
    item=Namespace,
    version="v1",
    plural="namespaces",
    namespaced=False,
    decode=decode_namespace,
    encode=encode_namespace,
    rename=rename_namespace,
    content="metadata",
    name_mistake=dns_label_mistake,
)
NETWORK_POLICY: Final = Kind(
    name="NetworkPolicy",
    item=NetworkPolicy,
    version="networking.k8s.io/v1",
    plural="networkpolicies",
    namespaced=True,
    decode=decode_policy,
    encode=encode_policy,
    rename=rename_policy,
    policy=True,
    former=("extensions/v1beta1",),  # removed in Kubernetes 1.16 (NP-010)
)
NODE: Final = Kind(
    name="Node",
    item=Node,
    version="v1",
    plural="nodes",
    namespaced=False,
    decode=decode_node,
    encode=encode_node,
    rename=rename_node,
)
POD: Final = Kind(
    name="Pod",
    item=Pod,
    version="v1",
    plural="pods",
    namespaced=True,
    decode=decode_pod,
    encode=encode_pod,
    rename=rename_pod,
)

KINDS: Final = Kinds((CLUSTER_NETWORK_POLICY, NAMESPACE, NETWORK_POLICY, NODE, POD))


def _workload(item: type[W], version: str, plural: str, **more: Any) -> Kind[W]:
    """The row of a kind that makes pods."""
    template = CRON_TEMPLATE if issubclass(item, CronJob) else TEMPLATE
    return Kind(
        name=item.__name__,
        item=item,
        version=version,
        plural=plural,
        namespaced=True,
        decode=workload_decoder(item, template),
        encode=workload_encoder(version, item.__name__, template),
        rename=rename_workload,
        **more,
    )


_FORMER_APPS: Final = ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2")

#: The kinds that make pods.
WORKLOADS: Final = (
    _workload(Deployment, "apps/v1", "deployments", former=_FORMER_APPS),
    _workload(StatefulSet, "apps/v1", "statefulsets", former=_FORMER_APPS),
    _workload(DaemonSet, "apps/v1", "daemonsets", former=_FORMER_APPS),
    _workload(ReplicaSet, "apps/v1", "replicasets", former=_FORMER_APPS),
    _workload(ReplicationController, "v1", "replicationcontrollers"),
    _workload(Job, "batch/v1", "jobs"),
    _workload(CronJob, "batch/v1", "cronjobs", former=("batch/v1beta1", "batch/v2alpha1")),
)
SERVICE: Final = Kind(
    name="Service",
    item=Service,
    version="v1",
    plural="services",
    namespaced=True,
    decode=decode_service,
    encode=encode_service,
    rename=rename_service,
    name_mistake=dns_label_mistake,
)
ENDPOINT_SLICE: Final = Kind(
    name="EndpointSlice",
    item=EndpointSlice,
    version="discovery.k8s.io/v1",
    plural="endpointslices",
    namespaced=True,
    decode=decode_endpoints,
    encode=encode_endpoints,
    rename=rename_endpoints,
)

#: What an agent follows besides, where pods are judged in their own namespaces: by addresses of Services.
SERVED: Final = Kinds((ENDPOINT_SLICE, SERVICE))


def followed(*, inside: bool) -> Kinds:
    """The kinds that an agent follows; `inside`: it judges pods in their own namespaces."""
    return Kinds((*KINDS, *SERVED)) if inside else KINDS


def _publisher(item: type[P], version: str, plural: str, older: tuple[str, ...] = ()) -> Kind[P]:
    """The row of a kind that leads to Services from outside."""
    is_ingress = issubclass(item, Ingress)
    return Kind(
        name=item.__name__,
        item=item,
        version=version,
        plural=plural,
        namespaced=True,
        decode=ingress_decoder(item) if is_ingress else route_decoder(item),
        encode=encode_ingress if is_ingress else route_encoder(version, item.__name__),
        rename=rename_publisher,
        optional=True,
        older=older,
    )


_DRAFTS: Final = tuple(f"{GATEWAY}/{version}" for version in ("v1alpha3", "v1alpha2"))

#: The kinds that lead to Services from outside.
PUBLISHERS: Final = (
    _publisher(
        Ingress,
        "networking.k8s.io/v1",
        "ingresses",
        ("networking.k8s.io/v1beta1", "extensions/v1beta1"),
    ),
    _publisher(HTTPRoute, f"{GATEWAY}/v1", "httproutes", (f"{GATEWAY}/v1beta1", f"{GATEWAY}/v1alpha2")),
    _publisher(GRPCRoute, f"{GATEWAY}/v1", "grpcroutes", _DRAFTS),
    _publisher(TLSRoute, f"{GATEWAY}/v1", "tlsroutes", _DRAFTS),
    _publisher(TCPRoute, f"{GATEWAY}/v1alpha2", "tcproutes"),
    _publisher(UDPRoute, f"{GATEWAY}/v1alpha2", "udproutes"),
)

REFERENCE_GRANT: Final = Kind(
    name="ReferenceGrant",
    item=ReferenceGrant,
    version=f"{GATEWAY}/v1",
    plural="referencegrants",
    namespaced=True,
    decode=decode_grant,
    encode=encode_grant,
    rename=rename_grant,
    optional=True,
    older=(f"{GATEWAY}/v1beta1", f"{GATEWAY}/v1alpha2"),
)

#: What is read for questions: also what makes pods or leads to them, which no agent follows.
ASKED: Final = Kinds(
    (
        *(replace(kind, decode=decode_owned_pod) if kind is POD else kind for kind in KINDS),
        *WORKLOADS,
        SERVICE,
        *PUBLISHERS,
        REFERENCE_GRANT,
    )
)
