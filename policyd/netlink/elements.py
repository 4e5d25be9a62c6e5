"""Writes elements of nftables' sets and verdict maps: what changes costs, and nothing else.

libnftables reads every interval set of the machine back before it adds or deletes an element, which takes
seconds beside somebody else's large one; a message written by hand takes microseconds. The parts themselves,
chains and rules are libnftables' (`policyd/applier`). Nothing here retries.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from policyd.errors import EnvironmentRefused
from policyd.netlink.element_codec import encode, encode_keys
from policyd.netlink.messages import (
    ACK,
    ERROR,
    NETFILTER,
    REQUEST,
    Message,
    attribute,
    attributes,
    error_code,
    message,
    messages,
    open_socket,
)
from policyd.netlink.netfilter import read_generation
from policyd_compiler.nft.ast import Set, TableFamily, VerdictMap
from policyd_compiler.nft.commands import Change, Elements
from policyd_compiler.nft.keys import Key, KeyType, print_key

#: Elements in one transaction of `split`; more take longer each, and hold up others who write.
MOST = 5_000
FAMILIES: dict[TableFamily, int] = {"inet": 1, "bridge": 7}
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _SO_SNDBUFFORCE = 270, 10, 11, 32
#: Of one transaction, which the kernel takes at once: some hundred thousand elements, whatever they are.
_SEND_BYTES = 64 << 20
_NFTABLES = 10
_ADD, _DELETE = _NFTABLES << 8 | 12, _NFTABLES << 8 | 14
_BEGIN, _END = 0x10, 0x11
_CREATE = 0x400
_GENERATION = 1
_TABLE, _SET, _ELEMENTS = 1, 2, 3
#: A list of elements is one attribute, whose length has 16 bits.
_MOST_BYTES = 60_000
#: Of a message's header, an attribute's, and of an answer before what the kernel says besides its number.
_HEADER_BYTES, _ATTRIBUTE_BYTES, _ERROR_BYTES = 16, 4, 20
_HAS_TLVS = 0x200
_OFFSET = 2
#: What errors mean here, where the kernel's own words mislead.
_REASONS = {
    errno.EEXIST: "it is there with other data, or in part",
    errno.ENFILE: "the set is full",
    errno.ERESTART: "somebody else's transaction came between",
}


class ElementsRefused(EnvironmentRefused):
    """The kernel refused a transaction: nothing of it is in force.

    `errno` is the kernel's: EEXIST for a key that is there with other data, ENOENT for an element, a set or
    table that is not there, ENFILE for a full set, EPERM, ERESTART where somebody else's transaction came
    between. `change` is the first one refused, `key` the element of it; None where the kernel names neither.
    """

    def __init__(self, number: int, change: Change | None = None, key: Key | None = None) -> None:
        self.errno = number
        self.change = change
        self.key = key
        super().__init__(
            f"the kernel refused to {_words(change, key)}: {_REASONS.get(number, os.strerror(number))}"
        )


class ElementsBroken(EnvironmentRefused):
    """It is not known whether the kernel did what was asked. Read back before you go on."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One message: what stands before the elements, and these, of a change."""

    head: bytes
    elements: Sequence[bytes]
    change: Change
    keys: Sequence[Key]

    def data(self) -> bytes:
        """What the message says."""
        return self.head + attribute(_ELEMENTS, b"".join(self.elements), nested=True)

    def refused(self, number: int, offset: int) -> ElementsRefused:
        """The refusal that is about the element at this byte of the message."""
        first = _HEADER_BYTES + len(self.head) + _ATTRIBUTE_BYTES
        begins = tuple(accumulate(map(len, self.elements), initial=first))
        index = bisect_right(begins, offset) - 1
        return ElementsRefused(number, self.change, self.keys[index] if 0 <= index < len(self.keys) else None)


class ElementWriter:
    """Writes into the network namespace in which it was made; one thread at a time.

    Another holder of the kernel's lock on nftables is waited for, which may be seconds: not on an event loop.
    """

    def __init__(self) -> None:
        """Raises EnvironmentRefused if no socket can be had."""
        try:
            self._socket = open_socket(NETFILTER)
        except OSError as error:
            raise EnvironmentRefused(f"there is no way to nftables: {error.strerror or error}") from error
        self._socket.settimeout(None)  # answers are there when `send` returns, and are not waited for
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BYTES)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        # Or each refusal would come with the message that is refused.
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        #: The kernel's notifications bear it, so that a monitor knows whose writing it sees.
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def generation(self) -> int:
        """How many transactions there have been, by anybody. Raises EnvironmentRefused."""
        try:
            return read_generation(self._socket)
        except OSError as error:
            raise EnvironmentRefused(f"nftables reports no generation: {error.strerror or error}") from error

    def write(
        self,
        table: str,
        inet: Iterable[Change] = (),
        bridge: Iterable[Change] = (),
        *,
        generation: int | None = None,
    ) -> None:
        """Do these changes in the tables of this name as one transaction, in their order: all or nothing.

        Takes `add` of a set or verdict map, of which only the elements are added, and `delete` of elements.
        With `generation`, only if there has been no transaction since that one.
        Raises ElementsRefused, ElementsBroken; ValueError for other changes.
        """
        pieces = [*_pieces(table, "inet", inet), *_pieces(table, "bridge", bridge)]
        if not pieces:
            return
        first = self._sequence + 1
        self._sequence = (first + len(pieces)) & 0x7FFF_FFFF
        try:
            self._socket.send(_batch(pieces, first, generation))
        except OSError as error:
            raise ElementsRefused(error.errno or errno.EIO) from error
        self._judge(pieces, first)

    def _judge(self, pieces: Sequence[_Piece], first: int) -> None:
        """Read the answers, of which the last change has one in any case. Raises for a no."""
        refusal: ElementsRefused | None = None
        done = False
        try:
            while not done:
                for found in messages(self._socket.recv(1 << 16, socket.MSG_DONTWAIT)):
                    number = found.sequence - first
                    if found.kind != ERROR or not -1 <= number < len(pieces):
                        continue
                    if (code := error_code(found.payload)) and refusal is None:
                        piece = pieces[number] if number >= 0 else None
                        refusal = piece.refused(code, _offset(found)) if piece else ElementsRefused(code)
                    done = number == len(pieces) - 1
        except OSError as error:
            if refusal is None:
                why = "no answer came" if isinstance(error, BlockingIOError) else error.strerror or error
                raise ElementsBroken(f"it is not known whether elements were written: {why}") from error
        if refusal is not None:
            raise refusal


def split(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """The changes in lists of at most MOST elements, in their order: a transaction each, not one for all.

    For what no packet can see yet: in one, 200 000 elements take twice as long.
    """
    batch: list[Change] = []
    room = MOST
    for change in changes:
        rest = change
        while (count := len(_keys(rest))) > room:
            batch.append(_cut(rest, slice(room)))
            yield batch
            rest, batch, room = _cut(rest, slice(room, count)), [], MOST
        batch.append(rest)
        room -= count
    if batch:
        yield batch


def _cut(change: Change, which: slice) -> Change:
    match change.part:
        case Elements() as part:
            return replace(change, part=replace(part, keys=part.keys[which]))
        case Set() as part:
            return replace(change, part=replace(part, elements=part.elements[which]))
        case VerdictMap() as part:
            return replace(change, part=replace(part, elements=part.elements[which]))
        case _:
            raise ValueError(f"no change of elements: {change}")


def _keys(change: Change) -> tuple[Key, ...]:
    match change.verb, change.part:
        case "add", Set() as part:
            return part.elements
        case "add", VerdictMap() as part:
            return tuple(key for key, _ in part.elements)
        case "delete", Elements() as part:
            return part.keys
        case _:
            raise ValueError(f"no change of elements: {change}")


def _pieces(table: str, family: TableFamily, changes: Iterable[Change]) -> Iterator[_Piece]:
    for change in changes:
        keys = _keys(change)
        match change.part:
            case Set(name) | VerdictMap(name) as part:
                elements = encode(part)
            case Elements(name, kind, _, interval):
                elements = encode_keys(kind, keys, interval=interval)
            case _:
                raise ValueError(f"no change of elements: {change}")
        head = _head(family, table, name)
        start = 0
        for stop in _stops([len(element) for element in elements]):
            yield _Piece(head, elements[start:stop], change, keys[start:stop])
            start = stop


@lru_cache(4096)
def _head(family: TableFamily, table: str, name: str) -> bytes:
    place = attribute(_TABLE, table.encode() + b"\0") + attribute(_SET, name.encode() + b"\0")
    return bytes((FAMILIES[family], 0, 0, _NFTABLES)) + place


def _stops(lengths: Sequence[int]) -> Iterator[int]:
    """Behind which elements a message ends."""
    total = 0
    for number, length in enumerate(lengths):
        if total + length > _MOST_BYTES:
            yield number
            total = 0
        total += length
    if lengths:
        yield len(lengths)


def _batch(pieces: Sequence[_Piece], first: int, generation: int | None) -> bytes:
    """All of a transaction. The last change asks for an answer: without one nothing is known."""
    about = bytes((socket.AF_UNSPEC, 0, 0, _NFTABLES))
    held = b"" if generation is None else attribute(_GENERATION, generation.to_bytes(4))
    parts = [message(_BEGIN, REQUEST, about + held, first - 1)]
    for number, piece in enumerate(pieces):
        kind, flags = (_ADD, REQUEST | _CREATE) if piece.change.verb == "add" else (_DELETE, REQUEST)
        if number == len(pieces) - 1:
            flags |= ACK
        parts.append(message(kind, flags, piece.data(), first + number))
    parts.append(message(_END, REQUEST, about, first + len(pieces)))
    return b"".join(parts)


def _offset(found: Message) -> int:
    """Where in its message the kernel found what it refuses; 0 where it does not say."""
    if not found.flags & _HAS_TLVS:
        return 0
    value = attributes(found.payload, _ERROR_BYTES).get(_OFFSET, b"")
    return int.from_bytes(value, sys.byteorder)


def _words(change: Change | None, key: Key | None) -> str:
    """What was asked, for a sentence."""
    match change:
        case Change(_, Set(name, kind) | VerdictMap(name, kind) | Elements(name, kind)):
            word = "add to" if change.verb == "add" else "delete from"
            return f"{word} {name}{_element(kind, key)}"
        case _:
            return "change elements"


def _element(kind: KeyType, key: Key | None) -> str:
    if key is None:
        return ""
    try:
        return f" the element {print_key(kind, key)}"
    except ValueError:
        return f" the element {key!r}"
