"""How raw values are read: what is wrong is gathered with its path, and reading goes on.

`object` is what JSON gives. Missing, null and empty are the same everywhere (semantics 1.1), so a reader of a
mapping, a list or a text turns null into the empty one, and returns None only for a value of a wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from policyd.kube.objects import Source
from policyd.kube.syntax import did_you_mean, quote

Path: TypeAlias = tuple[str | int, ...]
Severity: TypeAlias = Literal["error", "warning"]

#: Unknown fields of one mapping for which it is asked what was meant.
MAX_HINTS = 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong at a path inside an object; `at` says whether the key or its value is meant."""

    path: Path
    text: str
    severity: Severity = "error"
    at: Literal["key", "value"] = "value"

    def __str__(self) -> str:
        return f"{print_path(self.path)}: {self.text}" if self.path else self.text


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How manifests are read: the namespace of objects that name none, and matters of taste.

    `unknown_fields` is for NP-041. `legacy_cidrs` "error" is a server with StrictIPCIDRValidation (NP-077).
    `refused` "close" is for who must enforce nevertheless: an object with errors is kept as far as it is
    understood, and a policy fails closed for what is not (decisions 8). `foreign_policies` is for what other
    engines enforce and policyd does not. `cnp_channel` says which ClusterNetworkPolicies the server takes:
    its standard channel has no named ports, no nodes and no domain names.
    """

    namespace: str = "default"
    unknown_fields: Severity = "error"
    legacy_cidrs: Severity = "warning"
    refused: Literal["drop", "close"] = "drop"
    foreign_policies: Severity = "warning"
    cnp_channel: Literal["standard", "experimental"] = "experimental"


def no_source(_path: Path) -> Source | None:
    """Objects of the API server were written nowhere."""
    return None


@dataclass(slots=True)
class Reading:
    """The reading of one object: collects its mistakes, knows where its parts were written.

    `stored`: an API server holds the object, perhaps since its rules were others.
    """

    options: ReadingOptions = ReadingOptions()
    source: Callable[[Path], Source | None] = no_source
    mistakes: list[Mistake] = field(default_factory=list)
    stored: bool = False

    def error(self, path: Path, text: str | None) -> bool:
        """Note an error; `text` None is none. True if there is nothing to note."""
        if text is not None:
            self.mistakes.append(Mistake(path, text))
        return text is None

    def warn(self, path: Path, text: str) -> None:
        self.note(path, text, "warning")

    def note(self, path: Path, text: str, severity: Severity) -> None:
        """Note what somebody's choice makes an error or a warning."""
        self.mistakes.append(Mistake(path, text, severity))

    def mapping(self, raw: object, path: Path) -> Mapping[str, object] | None:
        if raw is None:
            return {}
        if isinstance(raw, dict):
            return raw
        self.error(path, f"must be a mapping, not {kind_of(raw)}")
        return None

    def items(self, raw: object, path: Path) -> list[object] | None:
        if raw is None:
            return []
        if isinstance(raw, list):
            return raw
        self.error(path, f"must be a list, not {kind_of(raw)}")
        return None

    def text(self, raw: object, path: Path) -> str | None:
        if raw is None:
            return ""
        if isinstance(raw, str):
            return raw
        self.error(path, f"must be a string, not {kind_of(raw)}")
        return None

    def fields(self, raw: Mapping[str, object], path: Path, known: Iterable[str]) -> bool:
        """Whether the meaning is clear: all fields are known, or those that are not are pruned (NP-041).

        The API server prunes an unknown field with a warning at most, which mostly makes a rule wider.
        """
        unknown = [key for key in raw if key not in known]
        for number, key in enumerate(unknown):
            hint = did_you_mean(key, known) if number < MAX_HINTS else ""  # each takes a while to find
            text = f"unknown field{hint}"
            self.mistakes.append(Mistake((*path, key), text, self.options.unknown_fields, "key"))
        return not unknown or self.options.unknown_fields == "warning"


def integer(raw: object) -> int | None:
    """A whole number, also spelled 80.0 as kubectl passes it on; None for anything else."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    return raw if isinstance(raw, int) else None


def kind_of(raw: object) -> str:
    """What a raw value is, for a sentence: `the number 80`, `a list`."""
    match raw:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(raw).lower()}"
        case int() | float():
            return f"the number {quote(_number(raw))[1:-1]}"
        case str():
            return f"the string {quote(raw)}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "something else"


def _number(raw: float) -> str:
    # Python refuses to print integers of more than 4300 digits.
    return "with very many digits" if isinstance(raw, int) and raw.bit_length() > 256 else str(raw)


def print_path(path: Path) -> str:
    """`spec.ingress[0].ports[1].port`; keys that hold dots and the like stand in brackets."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        elif step.isascii() and step.replace("_", "a").isalnum() and len(step) <= 60:
            out += f".{step}" if out else step
        else:
            out += f"[{quote(step)}]"
    return out
