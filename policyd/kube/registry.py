"""The kinds that policyd follows: one row each. A further kind is one more row, and its own code.

Whoever reads, keeps, writes or watches objects takes the rows as a parameter, `kinds`, and these unless told
otherwise.
"""

from __future__ import annotations

from typing import Final

from policyd.kube.decode_place import decode_namespace, decode_node
from policyd.kube.decode_pod import decode_pod
from policyd.kube.decode_policy import decode_policy
from policyd.kube.encode_place import encode_namespace, encode_node
from policyd.kube.encode_pod import encode_pod
from policyd.kube.encode_policy import encode_policy
from policyd.kube.kind import Kind, Kinds
from policyd.kube.objects import Namespace, NetworkPolicy, Node, Pod
from policyd.kube.rename import rename_namespace, rename_node, rename_pod, rename_policy
from policyd.kube.syntax import dns_label_mistake

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

KINDS: Final = Kinds((NAMESPACE, NETWORK_POLICY, NODE, POD))
