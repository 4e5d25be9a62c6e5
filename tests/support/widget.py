"""A kind that policyd does not follow, as a row: all that a further kind needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policyd.kube.kind import Kind, Kinds, Manifest
from policyd.kube.metadata import Metadata
from policyd.kube.objects import Source
from policyd.kube.reading import Reading, integer
from policyd.kube.registry import KINDS
from policyd.kube.rename import Renaming


@dataclass(frozen=True, slots=True)
class Widget:
    """An object of no namespace."""

    name: str
    size: int
    source: Source | None = None


def _decode(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Widget:
    spec = reading.mapping(raw.get("spec"), ("spec",)) or {}
    size = integer(spec.get("size"))
    reading.error(("spec", "size"), None if size is not None else "must be a number")
    return Widget(metadata.name, size or 0, reading.source(()))


def _encode(widget: Widget) -> Manifest:
    return manifest(widget.name, widget.size)


def _rename(widget: Widget, other: Renaming) -> Widget:
    return Widget(other("widget", widget.name), widget.size)


def manifest(name: str, size: int) -> Manifest:
    spec = {"size": size}
    return {"apiVersion": WIDGET.version, "kind": WIDGET.name, "metadata": {"name": name}, "spec": spec}


WIDGET = Kind(
    name="Widget",
    item=Widget,
    version="example.policyd.test/v1",
    plural="widgets",
    namespaced=False,
    decode=_decode,
    encode=_encode,
    rename=_rename,
    optional=True,
)
#: policyd's kinds and this one.
WITH_WIDGETS = Kinds((*KINDS, WIDGET))
