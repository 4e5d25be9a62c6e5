"""Assertions on connectivity as code: a file says what must be allowed and what denied. Pure.

`kind: ConnectivityTest`; docs/questions.md has an example.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from policyd.ask.ends import End, end_of
from policyd.ask.fits import Packet
from policyd.ask.kinds import Kinds
from policyd.ask.naming import Named, find, judged_packet
from policyd.ask.ports import read_port
from policyd.ask.why import Verdict, why
from policyd.ask.world import World
from policyd.errors import WrongUsage
from policyd.kube.objects import Source
from policyd.kube.reading import Path, Reading, kind_of

API_VERSION = "policyd/v1"
KIND = "ConnectivityTest"
EVERYBODY = "*"
Expected: TypeAlias = Literal["allowed", "denied"]
_LISTS: dict[str, Expected] = {"allow": "allowed", "deny": "denied"}
_FIELDS = ("name", "from", "to", "except", "port")


@dataclass(frozen=True, slots=True)
class Assertion:
    """Every one of `senders` to every one of `receivers`, but for those named in `excepts`, at a port.

    Names are those of `policyd why`; `*` is every pod and workload of the world.
    """

    expected: Expected
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    port: str
    excepts: tuple[str, ...]
    title: str
    source: Source


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an assertion: how many connections were judged, and which are not as they should be.

    `mistake`: it could not be judged, as it names somebody who is not there.
    """

    assertion: Assertion
    judged: int
    wrong: tuple[Verdict, ...]
    mistake: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything is as it should be, and there was anything to judge."""
        return not self.wrong and not self.mistake and self.judged > 0


def decode_assertions(raw: object, reading: Reading) -> tuple[Assertion, ...]:
    """The assertions of one document; what is wrong goes into `reading`."""
    top = reading.mapping(raw, ()) or {}
    reading.fields(top, (), ("apiVersion", "kind", *_LISTS))
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if top.get(name) != wanted:
            path = (name,) if name in top else ()
            reading.error(path, f"{name} must be {wanted}, not {kind_of(top.get(name))}")
    found = []
    for name, expected in _LISTS.items():
        for number, entry in enumerate(reading.items(top.get(name), (name,)) or ()):
            found.append(_decode(entry, (name, number), expected, reading))
    if not found and not reading.mistakes:
        reading.error((), "says neither what to allow nor what to deny")
    return tuple(found)


def _decode(raw: object, path: Path, expected: Expected, reading: Reading) -> Assertion:
    entry = reading.mapping(raw, path) or {}
    reading.fields(entry, path, _FIELDS)
    ends = {name: _names(entry, name, path, reading) for name in ("from", "to", "except")}
    for name in ("from", "to"):
        if not ends[name]:
            reading.error((*path, name) if name in entry else path, f"{name} must name somebody")
    port = _port(entry.get("port"), (*path, "port"), reading) if "port" in entry else ""
    if "port" not in entry:
        reading.error(path, "port is missing: a number, a name, or with a protocol as in 53/UDP")
    title = reading.text(entry.get("name"), (*path, "name")) or _title(expected, ends, port)
    source = reading.source(path) or Source("", 0)
    return Assertion(expected, ends["from"], ends["to"], port, ends["except"], title, source)


def _title(expected: Expected, ends: Mapping[str, tuple[str, ...]], port: str) -> str:
    but = f" but {', '.join(ends['except'])}" if ends["except"] else ""
    return f"{', '.join(ends['from'])}{but} → {', '.join(ends['to'])}:{port} is {expected}"


def _names(entry: Mapping[str, object], name: str, path: Path, reading: Reading) -> tuple[str, ...]:
    raw = entry.get(name)
    if isinstance(raw, str):
        return (raw,) if raw else ()
    texts = (
        reading.text(each, (*path, name, number))
        for number, each in enumerate(reading.items(raw, (*path, name)) or ())
    )
    return tuple(text for text in texts if text)


def _port(raw: object, path: Path, reading: Reading) -> str:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        reading.error(path, f"must be a number, a name, or with a protocol as in 53/UDP, not {kind_of(raw)}")
        return ""
    try:
        read_port(str(raw))
    except WrongUsage as error:
        reading.error(path, str(error))
    return str(raw)


def judge(world: World, assertion: Assertion, kinds: Kinds | None = None) -> Result:
    """Judge all connections that an assertion is about; each is the first packet of one.

    `kinds` are those of the world, for who judges several.
    """
    try:
        excepted = {_key(end) for name in assertion.excepts for end in _find(world, name).ends}
        senders = [end for name in assertion.senders for end in _find(world, name).ends]
        targets = [_find(world, name) for name in assertion.receivers]
        receivers = [(named, end) for named in targets for end in named.ends]
        asked = list(_asked(assertion, senders, receivers, excepted))
    except WrongUsage as error:
        return Result(assertion, 0, (), str(error))
    wrong = tuple(_wrong(world, assertion.expected, asked, kinds or Kinds(world)))
    mistake = "" if asked else "nothing to judge: all that it names is excepted, or one and the same"
    return Result(assertion, len(asked), wrong, mistake)


def _asked(
    assertion: Assertion, senders: list[End], receivers: list[tuple[Named, End]], excepted: set[object]
) -> Iterator[tuple[End, End, Packet]]:
    """The connections that an assertion is about."""
    protocol, port = read_port(assertion.port)
    left = [(_key(receiver), named, receiver) for named, receiver in receivers]
    left = [each for each in left if each[0] not in excepted]
    packets: dict[object, Packet] = {}
    for sender in senders:
        own = _key(sender)
        if own in excepted:
            continue
        for key, named, receiver in left:
            if key == own:
                continue
            if key not in packets:
                packets[key] = judged_packet(named, receiver, protocol, port)[0]
            yield sender, receiver, packets[key]


def _wrong(
    world: World, expected: Expected, asked: Iterable[tuple[End, End, Packet]], kinds: Kinds
) -> Iterator[Verdict]:
    """The verdicts that are not as expected. Of connections that all policies treat alike one is judged."""
    right = set[object]()
    for sender, receiver, packet in asked:
        pair = kinds.of_pair(sender, receiver)
        if (pair, packet) in right:
            continue
        verdict = why(world, sender, receiver, packet)
        if verdict.answer != expected:
            yield verdict
        elif pair is not None:
            right.add((pair, packet))


def _find(world: World, name: str) -> Named:
    if name == EVERYBODY:
        return Named(tuple(end_of(world, endpoint) for endpoint in world.endpoints))
    return find(world, name)


def _key(end: End) -> object:
    return end.endpoint.id if end.endpoint is not None else (end.address, end.anywhere)
