"""Which objects make pods that were not seen: these may match what nothing seems to match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from policyd.kube.objects import Protocol
from policyd.kube.ports import PROTOCOLS
from policyd.kube.reading import Path
from policyd.kube.syntax import quote
from policyd.lint.drafts import items, mapping
from policyd.lint.label_rules import TEMPLATES, at

#: Ends of the names of kinds that configure something, and run nothing.
_HARMLESS: Final = re.compile(
    r".*(?:Monitor|Rules?|Polic(?:y|ies)|Route(?:TCP|UDP)?|Issuer|Certificate|CertificateRequest|Secret|Store"
    r"|Class|Config|Configuration|Binding|Definition|Probe|Receiver|Alert|Repository|Middleware|Option"
    r"|Parameters|Exception|Constraint|ConstraintTemplate|Role|Mapping|Grant|Peer|Pool|Advertisement"
    r"|Authentication|Entry|Filter|Transport|Autoscaler|Report|Set[Gg]enerator|Profile|Bucket|Lock)"
)
_HARMLESS_NAMES: Final = frozenset(
    (
        *("VirtualService", "DestinationRule", "Sidecar", "Telemetry", "ScaledObject", "AppProject"),
        *("NetworkSet", "GlobalNetworkSet", "HostEndpoint", "EgressFirewall", "AuthorizationPolicy"),
        *("CustomResource", "ConstraintPodStatus", "KafkaTopic", "KafkaUser", "Dashboard", "Folder"),
    )
)
#: Kinds in groups of Kubernetes' own that make pods, or stand for objects that are elsewhere.
_OURS: Final = frozenset((("gateway.networking.k8s.io", "Gateway"),))
_KUSTOMIZE: Final = "kustomize.config.k8s.io"
#: Fields of a Kustomization that bring objects from elsewhere, or change whom policies select.
_CHANGING: Final = (
    *("namespace", "helmCharts", "helmChartInflationGenerator", "patches", "patchesStrategicMerge"),
    *("patchesJson6902", "labels", "commonLabels", "namePrefix", "nameSuffix", "replacements", "generators"),
    *("transformers", "components", "bases"),
)
_POD_SPECS: Final[tuple[Path, ...]] = (
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("spec", "podTemplate", "spec"),
    ("spec", "podSpec"),
)


def makes_pods(raw: Mapping[str, object]) -> str | None:
    """Why an object that policyd does not understand may stand for pods; None if it does not."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str):
        return None
    group = version.rpartition("/")[0]
    name = mapping(raw.get("metadata")).get("name")
    named = f"{quote(kind)[1:-1]}{f' {quote(name)[1:-1]}' if isinstance(name, str) else ''}"
    if group == _KUSTOMIZE:
        changes = next((field for field in _CHANGING if raw.get(field)), None)
        return f"{named} changes objects ({changes}): lint what `kustomize build` prints" if changes else None
    foreign = "." in group and not group.endswith(".k8s.io")
    if (group, kind) in _OURS or (foreign and _is_maker(kind, raw)):
        return f"{named} may make pods"
    return None


def _is_maker(kind: str, raw: Mapping[str, object]) -> bool:
    if any(mapping(at(raw, path)).get("containers") for path in _POD_SPECS):
        return True
    return kind not in _HARMLESS_NAMES and _HARMLESS.fullmatch(kind) is None


def declared_ports(raw: Mapping[str, object]) -> frozenset[tuple[Protocol, int]]:
    """The ports that containers of a pod, or of a pod template, declare: protocol and number."""
    kind = raw.get("kind")
    spec = at(raw, ("spec",) if kind == "Pod" else (*TEMPLATES.get(str(kind), ("spec", "template")), "spec"))
    return frozenset(
        (protocol, number)
        for key in ("containers", "initContainers")
        for container in items(mapping(spec).get(key))
        for port in items(mapping(container).get("ports"))
        if isinstance(number := mapping(port).get("containerPort"), int)
        if (protocol := PROTOCOLS.get(str(mapping(port).get("protocol") or "TCP"))) is not None
    )
