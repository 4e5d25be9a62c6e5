"""Raw workloads → objects: what their pods will be, as far as policies can see. Pods with their owners.

As with pods, any field of the real API may be there; only those that are used are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from policyd.kube.decode_pod import decode_flag, decode_pod, decode_ports
from policyd.kube.metadata import Metadata, decode_labels
from policyd.kube.objects import Owner, Pod
from policyd.kube.reading import Path, Reading
from policyd.kube.workloads import Workload

W = TypeVar("W", bound=Workload)

#: Where the template of a pod is.
TEMPLATE: Path = ("spec", "template")
CRON_TEMPLATE: Path = ("spec", "jobTemplate", "spec", "template")


def decode_owned_pod(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Pod:
    """Decode a Pod with its owners."""
    return replace(decode_pod(raw, metadata, reading), owners=decode_owners(raw, reading))


def workload_decoder(
    kind: type[W], template: Path = TEMPLATE
) -> Callable[[Mapping[str, object], Metadata, Reading], W]:
    """The function that decodes objects of a kind, of which the pod template is at this path."""

    def decode(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> W:
        pod = _find(raw, template, reading)
        pod_metadata = reading.mapping(pod.get("metadata"), (*template, "metadata")) or {}
        path = (*template, "spec")
        spec = reading.mapping(pod.get("spec"), path) or {}
        return kind(
            metadata.namespace,
            metadata.name,
            metadata.uid,
            decode_labels(pod_metadata.get("labels"), reading, (*template, "metadata", "labels")),
            decode_flag(spec.get("hostNetwork"), (*path, "hostNetwork"), reading),
            decode_ports(spec, path, reading),
            decode_owners(raw, reading),
            reading.source(()),
        )

    return decode


def _find(raw: Mapping[str, object], path: Path, reading: Reading) -> Mapping[str, object]:
    """The mapping at a path. One that is missing is a mistake: it is reported where it should be."""
    found: Mapping[str, object] = raw
    for length, step in enumerate(path, start=1):
        here = found.get(str(step))
        if here is None:
            reading.error(path[:length], "required")
            return {}
        found = reading.mapping(here, path[:length]) or {}
    return found


def decode_owners(raw: Mapping[str, object], reading: Reading) -> tuple[Owner, ...]:
    """The entries of metadata.ownerReferences that name somebody."""
    metadata = raw.get("metadata")
    written = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    if written is None:
        return ()
    path: Path = ("metadata", "ownerReferences")
    owners: list[Owner] = []
    for index, item in enumerate(reading.items(written, path) or ()):
        here = (*path, index)
        entry = reading.mapping(item, here) or {}
        kind, name, uid = (reading.text(entry.get(key), (*here, key)) for key in ("kind", "name", "uid"))
        if kind and name:
            controls = decode_flag(entry.get("controller"), (*here, "controller"), reading)
            owners.append(Owner(kind, name, uid or "", controls))
    return tuple(owners)
