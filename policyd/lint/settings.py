"""`.policyd.yaml`: what a repository wants of `policyd lint`. Text → a value, or what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from policyd.kube.reading import Path, Reading, kind_of
from policyd.kube.syntax import did_you_mean, quote
from policyd.lint.choice import unknown
from policyd.lint.finding import LEVELS, Level, World
from policyd.manifests.single import read_single

NAME: Final = ".policyd.yaml"
#: What `fail-on` takes beside the levels: nothing fails.
NEVER: Final = "never"
_LISTS: Final = ("select", "extend", "ignore", "exclude")
_FIELDS: Final = (*_LISTS, "world", "fail-on", "baseline")
_WORLDS: Final = ("complete", "partial")


@dataclass(frozen=True, slots=True)
class Settings:
    """`exclude` are patterns of files that are not read where a directory is given. None: not said."""

    select: tuple[str, ...] = ()
    extend: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    world: World | None = None
    fail_on: str | None = None
    baseline: bool = False


NONE: Final = Settings()


def read_settings(text: bytes, file: str) -> Settings:
    """Read the settings of a file; BadInput with all that is wrong in it."""
    return read_single(text, file, _decode, several="settings are one document")


def _decode(raw: object, reading: Reading) -> Settings:
    top = reading.mapping(raw, ()) or {}
    reading.fields(top, (), ("lint",))
    section = reading.mapping(top.get("lint"), ("lint",)) or {}
    reading.fields(section, ("lint",), _FIELDS)
    lists = {name: _list(section, name, reading) for name in _LISTS}
    for name in ("select", "extend", "ignore"):
        for number, value in enumerate(lists[name]):
            if unknown((value,)):
                reading.error(("lint", name, number), f"no rule is or begins with {quote(value)}")
    baseline = section.get("baseline")
    if baseline is not None and not isinstance(baseline, bool):
        reading.error(("lint", "baseline"), f"must be true or false, not {kind_of(baseline)}")
    return Settings(
        lists["select"],
        lists["extend"],
        lists["ignore"],
        lists["exclude"],
        cast("World | None", _one_of(section, "world", _WORLDS, reading)),
        _one_of(section, "fail-on", (*LEVELS, NEVER), reading),
        baseline is True,
    )


def _list(section: Mapping[str, object], name: str, reading: Reading) -> tuple[str, ...]:
    raw = section.get(name)
    path: Path = ("lint", name)
    if isinstance(raw, str):
        return tuple(raw.replace(",", " ").split())
    found: list[str] = []
    for number, entry in enumerate(reading.items(raw, path) or ()):
        text = reading.text(entry, (*path, number))
        if text:
            found.append(text)
    return tuple(found)


def _one_of(
    section: Mapping[str, object], name: str, values: tuple[str, ...], reading: Reading
) -> str | None:
    raw = section.get(name)
    if raw is None or (isinstance(raw, str) and raw in values):
        return raw if isinstance(raw, str) else None
    hint = did_you_mean(raw, values) if isinstance(raw, str) else ""
    reading.error(
        ("lint", name), f"must be {', '.join(values[:-1])} or {values[-1]}, not {kind_of(raw)}{hint}"
    )
    return None


def level_of(text: str) -> Level | None:
    """The level at which a run fails; None for never."""
    return None if text == NEVER else cast(Level, text)
