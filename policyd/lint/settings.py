"""`.policyd.yaml`: what a repository wants of `policyd lint`. Text → a value, or what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from policyd.errors import BadInput, Diagnostic
from policyd.kube.reading import Path, Reading, kind_of
from policyd.kube.syntax import did_you_mean, printable, quote
from policyd.lint.choice import unknown
from policyd.lint.finding import LEVELS, Level, World
from policyd.manifests.yaml_text import YamlDocument, read_yaml

NAME: Final = ".policyd.yaml"
#: A file of settings is not longer.
MAX_LENGTH: Final = 256 * 1024
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
    file = printable(file)
    if len(text) > MAX_LENGTH:
        raise BadInput((Diagnostic(file, 0, 0, "error", f"longer than {MAX_LENGTH >> 10} KiB"),))
    try:
        text.decode()
    except UnicodeDecodeError:
        raise BadInput((Diagnostic(file, 0, 0, "error", "is not UTF-8 text"),)) from None
    documents, flaws = read_yaml(text)
    flaws.extend(flaw for document in documents for flaw in document.flaws)
    if flaws:
        told = (Diagnostic(file, f.place.line, f.place.column, "error", f.text) for f in flaws)
        raise BadInput(tuple(sorted(told)))
    if len(documents) > 1:
        line = documents[1].start.line
        raise BadInput((Diagnostic(file, line, 1, "error", "settings are one document"),))
    if not documents:
        return NONE
    reading = Reading()
    settings = _decode(documents[0].value, reading)
    if reading.mistakes:
        raise BadInput(tuple(sorted(_told(documents[0], file, reading))))
    return settings


def _told(document: YamlDocument, file: str, reading: Reading) -> list[Diagnostic]:
    places = document.locate(frozenset(mistake.path for mistake in reading.mistakes))
    told = []
    for mistake in reading.mistakes:
        found = places.get(mistake.path, (document.start, document.start))
        place = found[0] if mistake.at == "key" else found[1]
        told.append(Diagnostic(file, place.line, place.column, "error", str(mistake)))
    return told


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
