"""apiVersion and kind → one of ours, a policy that another engine enforces, a mistake, or of no concern.

The API server knows every kind that exists. Here only the groups that hold our kinds are known in full; of
all others those are named whose objects allow or deny traffic, because silence about them would be taken for
enforcement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from policyd.kube.kind import Kind, Kinds
from policyd.kube.reading import Reading, kind_of
from policyd.kube.syntax import did_you_mean, printable, quote

#: Group → every kind in it, of any version, for Kubernetes' own groups that hold ours (Kubernetes 1.36).
_KINDS: Mapping[str, tuple[str, ...]] = {
    "": (
        *("Binding", "ComponentStatus", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node"),
        *("PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate", "ReplicationController"),
        *("ResourceQuota", "Secret", "Service", "ServiceAccount"),
    ),
    "networking.k8s.io": (
        *("ClusterCIDR", "IPAddress", "Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR"),
    ),
}
#: Group → kinds that allow or deny traffic and whose names do not say so by their end, `NetworkPolicy`.
_FILTERS: Mapping[str, frozenset[str]] = {
    "k8s.ovn.org": frozenset(("EgressFirewall",)),
    "kuma.io": frozenset(("MeshTrafficPermission", "TrafficPermission")),
    "networking.k8s.aws": frozenset(("ClusterPolicyEndpoint", "PolicyEndpoint")),
    "policy.linkerd.io": frozenset(("AuthorizationPolicy", "ServerAuthorization")),
    "security.istio.io": frozenset(("AuthorizationPolicy",)),
    "vpcresources.k8s.aws": frozenset(("SecurityGroupPolicy",)),
}
_NETWORK_POLICY = re.compile(r"\w*NetworkPolicy")
#: SIG Network's own. What it had before ClusterNetworkPolicy can be turned into that.
_TIERS = "policy.networking.k8s.io"
_CONVERT = ": `policyd convert` turns it into a ClusterNetworkPolicy"
_CONVERTED = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy")


def decode_type(raw: Mapping[str, object], reading: Reading, kinds: Kinds) -> Kind[Any] | None:
    """The kind, if it is one of ours. Of others, only those are mentioned where silence would hurt."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    for key, value in (("apiVersion", version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            text = f"must be a string, not {kind_of(value)}" if value else f"{key} is required"
            reading.error((key,) if value else (), text)
    if reading.mistakes or not isinstance(kind, str) or not isinstance(version, str):
        return None
    ours = kinds.named(kind)
    if ours is not None and version in ours.versions:
        return ours
    unenforced = not_enforced(kind, version, kinds)
    if unenforced is not None:
        reading.note(("kind",), unenforced, reading.options.foreign_policies)
    elif _is_foreign(version.rpartition("/")[0]):
        return None
    elif ours is not None:
        _refuse_version(ours, version, reading)
    else:
        _refuse_unknown(kind, version, raw, reading, kinds)
    return None


def not_enforced(kind: str, version: str, kinds: Kinds) -> str | None:
    """Say that this is a policy which policyd does not enforce, or None if it is something else."""
    group = version.rpartition("/")[0]
    if _is_foreign(group):
        if _NETWORK_POLICY.fullmatch(kind) or kind in _FILTERS.get(group, ()):
            return (
                f"{quote(kind)} of {quote(version)} is a policy for another engine: it is NOT enforced here"
            )
    elif kinds.named(kind) is None and group == _TIERS and _NETWORK_POLICY.fullmatch(kind):
        hint = _CONVERT if kind in _CONVERTED else ""
        return f"{quote(kind)[1:-1]} of {quote(version)} is NOT enforced{hint}"
    return None


def _is_foreign(group: str) -> bool:
    """Whether Kubernetes itself has nothing in this group. Its own are `apps`, `batch` … and NAME.k8s.io."""
    return "." in group and not group.endswith(".k8s.io")


def _refuse_version(kind: Kind[Any], version: str, reading: Reading) -> None:
    if version in kind.former:
        reading.error(("apiVersion",), f"{version} no longer exists: use {kind.version}")
    else:
        reading.error(("apiVersion",), f"{quote(version)} has no {kind.name}: use {kind.version}")


def _refuse_unknown(
    kind: str, version: str, raw: Mapping[str, object], reading: Reading, kinds: Kinds
) -> None:
    """Refuse a kind that its own group does not have, as the API server would: a misspelt policy is none."""
    group = version.rpartition("/")[0]
    if group not in ("networking.k8s.io", "extensions", ""):
        return
    meant = _misspelt(kind, kinds)
    if version == "v1" and kind == "Status":
        reading.error((), f"this is an API server's answer, not a manifest: {_said(raw)}")
    elif version == "v1" or group == "networking.k8s.io":
        known = _KINDS[group]
        if kind not in known and kind.removesuffix("List") not in known:
            hint = f"; did you mean {quote(meant)}?" if meant else did_you_mean(kind, known)
            reading.error(("kind",), f"{quote(version)} has no kind {quote(kind)}{hint}")
    elif meant:
        reading.error(("kind",), f"no such kind {quote(kind)}; did you mean {quote(meant)}?")


def _misspelt(kind: str, kinds: Kinds) -> str:
    """Which of our kinds was meant by one that does not exist; "" if none."""
    for ours in kinds.names:
        if kind.lower() == ours.lower() or kind.lower() == ours.lower() + "s":
            return ours
    close = did_you_mean(kind, ("NetworkPolicy",)) if 10 <= len(kind) <= 15 else ""
    return "NetworkPolicy" if close else ""


def _said(status: Mapping[str, object]) -> str:
    message = status.get("message")
    return printable(message)[:200] if isinstance(message, str) and message else "a Status"
