"""The present state as assertions, to which `policyd test` holds what comes. Pure.

An assertion is about one port, an answer about ranges. So for each receiver the ports are divided by who may
use them, and ports stand for each part: each that stands alone, or one of the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policyd.ask.answers import OUTSIDE
from policyd.ask.assertions import API_VERSION, EVERYBODY, KIND
from policyd.ask.ends import End, end_of
from policyd.ask.fits import Packet
from policyd.ask.judged import Judged
from policyd.ask.naming import INTERNET
from policyd.ask.pairs import Answer, pairs
from policyd.ask.ports import read_port
from policyd.ask.summed import judge_all
from policyd.ask.why import why
from policyd.ask.world import World
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

#: A stretch of ports that is no longer than this stands alone.
_SHORT = 64
#: Of so many stretches that stand alone in one part, the rest is left out.
_MOST_ALONE = 16
#: Which port stands for the rest, if it is one of it.
_USUAL = {"TCP": 80, "UDP": 53, "SCTP": 3868}
_PLAIN = re.compile(r"[a-z0-9][a-z0-9./-]*/[a-z0-9./-]*[a-z0-9]|internet")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Ports of a protocol that nobody's answer tells apart; those of protocols without ports are one."""

    protocol: str
    low: int
    high: int

    @property
    def stands_alone(self) -> bool:
        """Whether it is so short that somebody may have named it."""
        return self.high - self.low < _SHORT

    @property
    def number(self) -> int:
        """One of it."""
        usual = _USUAL.get(self.protocol, 0)
        return usual if self.low <= usual <= self.high else self.low

    @property
    def port(self) -> str:
        """One of it, as an assertion names it."""
        if self.protocol == "other":
            return "icmp"
        return f"{self.number}" if self.protocol == "TCP" else f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """An assertion, but for who receives."""

    expected: str
    senders: tuple[str, ...]
    excepts: tuple[str, ...]
    port: str


def assertions(
    world: World,
    senders: Collection[str] | None = None,
    receivers: Collection[str] | None = None,
    ports: PortSet | None = None,
) -> str:
    """The file: of all ends and ports, or of those given; empty if there is nothing to say.

    What is unknown is left out, and counted.
    """
    entries: dict[_Entry, list[str]] = {}
    unknown = 0
    everybody = [each.id for each in world.endpoints] if senders is None else []
    for receiver, column in _columns(world, senders, receivers).items():
        for port, states in _states(column, ports or EVERYTHING):
            _confirm(world, receiver, port, states)
            unknown += sum(state == "unknown" for state in states.values())
            for expected in ("allowed", "denied"):
                chosen = [sender for sender, state in states.items() if state == expected]
                if chosen:
                    others = [each for each in everybody if each != receiver]
                    entry = _Entry(expected, *_who(chosen, others), port)
                    entries.setdefault(entry, []).append(_name(receiver))
    return "\n".join((*_written(entries, unknown), "")) if entries else ""


def _confirm(world: World, receiver: str, port: str, states: dict[str, str]) -> None:
    """Leave open what `why`, by which assertions are judged, does not decide of addresses outside.

    It asks one rule after another: of two blocks that hold all addresses only together it does not know.
    """
    packet = Packet(*read_port(port))  # type: ignore[arg-type]
    for sender, state in states.items():
        if state == "unknown" or OUTSIDE not in (sender, receiver):
            continue
        if why(world, _end(world, sender), _end(world, receiver), packet).answer != state:
            states[sender] = "unknown"


def _end(world: World, id_: str) -> End:
    return End(anywhere=True) if id_ == OUTSIDE else end_of(world, world.endpoints[world.number[id_]])


def _columns(
    world: World, senders: Collection[str] | None, receivers: Collection[str] | None
) -> dict[str, dict[str, Judged]]:
    """By receiver and sender, what may pass whichever family is used."""
    ends = {each.id: end_of(world, each) for each in world.endpoints}
    columns: dict[str, dict[str, Judged]] = {}
    denied = Judged(NOTHING, NOTHING)
    for receiver in _chosen(ends, receivers):
        columns[receiver] = {sender: denied for sender in _chosen(ends, senders) if sender != receiver}
    numbers = [
        None if ids is None else frozenset(world.number[each] for each in ids if each in ends)
        for ids in (senders, receivers)
    ]
    for pair in pairs(world, *numbers):
        sender, receiver = world.endpoints[pair.sender].id, world.endpoints[pair.receiver].id
        columns[receiver][sender] = _in_all_families(pair.answer)
    anywhere = End(anywhere=True)
    for receiver, column in columns.items():
        if receiver == OUTSIDE:
            for sender in column:
                column[sender] = _in_all_families(judge_all(world, ends[sender], anywhere))
        elif OUTSIDE in column:
            column[OUTSIDE] = _in_all_families(judge_all(world, anywhere, ends[receiver]))
    return columns


def _chosen(ends: Iterable[str], ids: Collection[str] | None) -> list[str]:
    return [each for each in (*ends, OUTSIDE) if ids is None or each in ids]


def _in_all_families(answer: Answer) -> Judged:
    """As `why` has it: denied if it is in one family, allowed if it is in each."""
    allowed, possible = EVERYTHING, EVERYTHING
    for judged in answer.values():
        allowed, possible = allowed & judged.allowed, possible & judged.possible
    return Judged(allowed, possible)


def _states(column: Mapping[str, Judged], only: PortSet) -> Iterator[tuple[str, dict[str, str]]]:
    """Ports, and what holds for each sender at them."""
    judged = list(dict.fromkeys(column.values()))
    parts: dict[tuple[str, ...], list[_Stretch]] = {}
    for stretch in _stretches([*judged, Judged(only, only)]):
        if not only.allows(stretch.protocol.lower(), stretch.number):
            continue
        states = tuple(_state(each, stretch) for each in judged)
        # Protocols of which nobody says anything of their own are held by TCP.
        if states not in parts or stretch.stands_alone or not only.tcp:
            parts.setdefault(states, []).append(stretch)
    for states, stretches in parts.items():
        found = dict(zip(judged, states, strict=True))
        alone = [each for each in stretches if each.stands_alone][:_MOST_ALONE]
        for stretch in alone or stretches[:1]:
            yield stretch.port, {sender: found[each] for sender, each in column.items()}


def _stretches(judged: Iterable[Judged]) -> Iterator[_Stretch]:
    """All ports, cut where any of these answers changes."""
    sets = [ports for each in judged for ports in (each.allowed, each.possible)]
    for protocol in ("TCP", "UDP", "SCTP"):
        starts = {1}
        for ports in sets:
            ranges = getattr(ports, protocol.lower())
            starts.update(edge for low, high in ranges for edge in (low, high + 1) if 1 < edge <= 65535)
        ordered = sorted(starts)
        for low, following in zip(ordered, [*ordered[1:], 65536], strict=True):
            yield _Stretch(protocol, low, following - 1)
    yield _Stretch("other", 1, 65535)


def _state(judged: Judged, stretch: _Stretch) -> str:
    protocol = stretch.protocol.lower()
    if judged.allowed.allows(protocol, stretch.number):
        return "allowed"
    return "unknown" if judged.possible.allows(protocol, stretch.number) else "denied"


def _who(chosen: list[str], others: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Senders by name, or all but a few: whatever is shorter."""
    missing = sorted(set(others).difference(chosen))
    inside = [each for each in chosen if each != OUTSIDE]
    if len(inside) < 2 or len(missing) + 1 >= len(inside):
        return tuple(map(_name, chosen)), ()
    return (EVERYBODY, *map(_name, set(chosen) - set(inside))), tuple(missing)


def _name(id_: str) -> str:
    return INTERNET[0] if id_ == OUTSIDE else id_


def _written(entries: Mapping[_Entry, list[str]], unknown: int) -> Iterator[str]:
    yield "# What these policies allow and deny: policyd reach -o tests. Ports stand for all that are alike."
    if unknown:
        yield f"# Not decided by the objects, so not held: {unknown} connections."
    yield f"apiVersion: {API_VERSION}"
    yield f"kind: {KIND}"
    for title, expected in (("allow", "allowed"), ("deny", "denied")):
        chosen = [(entry, names) for entry, names in entries.items() if entry.expected == expected]
        if chosen:
            yield f"{title}:"
        for entry, receivers in chosen:
            fields = [f"from: {_list(entry.senders)}", f"to: {_list(receivers)}"]
            if entry.excepts:
                fields.append(f"except: {_list(entry.excepts)}")
            yield f"  - {{{', '.join([*fields, f'port: {entry.port}'])}}}"


def _list(names: Collection[str]) -> str:
    texts = [name if _PLAIN.fullmatch(name) else json.dumps(name) for name in names]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
