"""Where things stand in a text: the words that the two readers of text share."""

from __future__ import annotations

from typing import NamedTuple

from policyd.kube.reading import Severity


class Place(NamedTuple):
    """A line and a column, from 1; `plain` is the text of a YAML scalar without quotes."""

    line: int
    column: int
    plain: str = ""


class Flaw(NamedTuple):
    """Something wrong with the text, before anything is known about Kubernetes."""

    place: Place
    text: str
    severity: Severity = "error"
