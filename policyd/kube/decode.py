"""Raw Kubernetes objects → ours. Every default, and everything the API server would refuse, is in this room.

`decode_live` is for what the server has stored: it never raises, and what cannot be understood fails closed.
`decode_manifest` is for what somebody wrote: it refuses what the server would refuse, all mistakes at once.
Both read with the same code, so they cannot differ in meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from policyd.kube.decode_place import decode_namespace, decode_node
from policyd.kube.decode_pod import decode_pod
from policyd.kube.decode_policy import decode_policy
from policyd.kube.metadata import decode_metadata
from policyd.kube.objects import KubeObject, Source
from policyd.kube.reading import Mistake, Options, Path, Reading, kind_of, no_source
from policyd.kube.syntax import did_you_mean, quote

#: Kind → the one apiVersion that is read.
VERSIONS = {
    "Pod": "v1",
    "Namespace": "v1",
    "Node": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
TOP = ("apiVersion", "kind", "metadata", "spec", "status")

#: Policies of others, or of a later version of ours, that would otherwise be ignored in silence.
_OTHER_POLICY = re.compile(r"\w*NetworkPolicy")
_OURS = re.compile(r"v1|networking\.k8s\.io/.*|extensions/.*|")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one raw object. `item` is None if it is of no concern, or cannot be used."""

    item: KubeObject | None
    mistakes: tuple[Mistake, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the API server would refuse the object."""
        return any(mistake.severity == "error" for mistake in self.mistakes)


def decode_live(raw: object, kind: str | None = None) -> Decoded:
    """Decode what the API server stored. `kind` is for items of a list, which do not say it themselves.

    Only an object without a usable name is None. A NetworkPolicy with mistakes is one that fails closed for
    what is wrong in it (decisions 8); the mistakes are for the log, the metric and the condition.
    """
    reading = Reading()
    if not isinstance(raw, dict):
        return Decoded(None, (Mistake((), f"must be a mapping, not {kind_of(raw)}"),))
    item = _decode_kind(str(kind or raw.get("kind")), raw, reading)
    return Decoded(item, tuple(reading.mistakes))


def decode_manifest(
    raw: object, options: Options, source: Callable[[Path], Source | None] = no_source
) -> Decoded:
    """Decode what somebody wrote; `item` is None if a server would refuse it, unless the options keep it."""
    reading = Reading(options, source)
    if not isinstance(raw, dict):
        mistake = f"a manifest is a mapping with apiVersion, kind and metadata, not {kind_of(raw)}"
        return Decoded(None, (Mistake((), mistake),))
    kind = _decode_type(raw, reading)
    if kind is None:
        return Decoded(None, tuple(reading.mistakes))
    reading.fields(raw, (), TOP)
    decoded = Decoded(_decode_kind(kind, raw, reading), tuple(reading.mistakes))
    return Decoded(None, decoded.mistakes) if decoded.refused and options.refused == "drop" else decoded


def _decode_type(raw: Mapping[str, object], reading: Reading) -> str | None:
    """The kind, if it is one of ours. Of others, only those are mentioned where silence would hurt."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    for key, value in (("apiVersion", version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            text = f"must be a string, not {kind_of(value)}" if value else f"{key} is required"
            reading.error((key,) if value else (), text)
    if reading.mistakes or not isinstance(kind, str) or not isinstance(version, str):
        return None
    if VERSIONS.get(kind) == version:
        return kind
    if kind in VERSIONS:
        _refuse_version(kind, version, reading)
    elif version.startswith("policy.networking.k8s.io/"):
        reading.warn(("kind",), f"{quote(kind)[1:-1]} is not supported yet: this policy is NOT enforced")
    elif _OTHER_POLICY.fullmatch(kind) and not _OURS.fullmatch(version):
        reading.warn(
            ("kind",), f"{quote(kind)} of {quote(version)} is not a NetworkPolicy: it is NOT enforced"
        )
    elif _OURS.fullmatch(version) and (meant := _misspelt(kind)):
        reading.error(("kind",), f"no such kind {quote(kind)}; did you mean {quote(meant)}?")
    return None


def _refuse_version(kind: str, version: str, reading: Reading) -> None:
    group, slash, _ = version.partition("/")
    path = ("apiVersion",)
    if kind == "NetworkPolicy" and version == "extensions/v1beta1":  # removed in Kubernetes 1.16 (NP-010)
        reading.error(path, "extensions/v1beta1 no longer exists: use networking.k8s.io/v1")
    elif slash and "." in group and not group.endswith("k8s.io"):
        if kind == "NetworkPolicy":
            reading.error(
                path,
                f"a NetworkPolicy of {quote(version)} means other things than one of networking.k8s.io/v1",
            )
    else:
        reading.error(path, f"{quote(version)} has no {kind}: use {VERSIONS[kind]}")


def _misspelt(kind: str) -> str:
    """Which of our kinds was meant by one that does not exist; "" if none."""
    for ours in VERSIONS:
        if kind.lower() == ours.lower() or kind.lower() == ours.lower() + "s":
            return ours
    close = did_you_mean(kind, ("NetworkPolicy",)) if 10 <= len(kind) <= 15 else ""
    return "NetworkPolicy" if close else ""


def _decode_kind(kind: str, raw: Mapping[str, object], reading: Reading) -> KubeObject | None:
    if kind not in VERSIONS:
        return None
    metadata = decode_metadata(kind, raw.get("metadata"), reading)
    if metadata is None:
        return None
    match kind:
        case "Pod":
            return decode_pod(raw, metadata, reading)
        case "Namespace":
            return decode_namespace(metadata, reading)
        case "Node":
            return decode_node(raw, metadata, reading)
        case _:
            return decode_policy(raw, metadata.namespace, metadata.name, reading)
