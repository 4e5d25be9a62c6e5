"""Raw Kubernetes objects → ours. Every default, and everything the API server would refuse, is in this room.

`decode_live` is for what the server has stored: it never raises, and what cannot be understood fails closed.
`decode_manifest` is for what somebody wrote: it refuses what the server would refuse, all mistakes at once.
Both read with the same code, so they cannot differ in meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from policyd.kube.decode_type import decode_type
from policyd.kube.kind import Kind, Kinds
from policyd.kube.metadata import decode_metadata
from policyd.kube.objects import KubeObject, Source
from policyd.kube.reading import Mistake, Path, Reading, ReadingOptions, kind_of, no_source
from policyd.kube.registry import KINDS

TOP = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one raw object. `item` is None if it is of no concern, or cannot be used."""

    item: KubeObject | None
    mistakes: tuple[Mistake, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the API server would refuse the object."""
        return any(mistake.severity == "error" for mistake in self.mistakes)


def decode_live(raw: object, kind: Kind[Any] | None = None, kinds: Kinds = KINDS) -> Decoded:
    """Decode what the API server stored. `kind` is for items of a list, which do not say it themselves.

    Only an object without a usable name is None. A NetworkPolicy with mistakes is one that fails closed for
    what is wrong in it (decisions 8); the mistakes are for the log, the metric and the condition.
    """
    reading = Reading(stored=True)
    if not isinstance(raw, dict):
        return Decoded(None, (Mistake((), f"must be a mapping, not {kind_of(raw)}"),))
    kind = kind or kinds.named(str(raw.get("kind")))
    item = None if kind is None else _decode_kind(kind, raw, reading)
    return Decoded(item, tuple(reading.mistakes))


def decode_manifest(
    raw: object,
    options: ReadingOptions,
    source: Callable[[Path], Source | None] = no_source,
    kinds: Kinds = KINDS,
) -> Decoded:
    """Decode what somebody wrote; `item` is None if a server would refuse it, unless the options keep it."""
    reading = Reading(options, source)
    if not isinstance(raw, dict):
        mistake = f"a manifest is a mapping with apiVersion, kind and metadata, not {kind_of(raw)}"
        return Decoded(None, (Mistake((), mistake),))
    kind = decode_type(raw, reading, kinds)
    if kind is None:
        return Decoded(None, tuple(reading.mistakes))
    reading.fields(raw, (), TOP)
    decoded = Decoded(_decode_kind(kind, raw, reading), tuple(reading.mistakes))
    return Decoded(None, decoded.mistakes) if decoded.refused and options.refused == "drop" else decoded


def _decode_kind(kind: Kind[Any], raw: Mapping[str, object], reading: Reading) -> KubeObject | None:
    metadata = decode_metadata(kind, raw.get("metadata"), reading)
    if metadata is None:
        return None
    item: KubeObject = kind.decode(raw, metadata, reading)
    return item
