"""A set's elements are read whole or not at all, also where the kernel gives less than it holds."""

from __future__ import annotations

import pytest

from policyd.applier.worker import NftWorker
from policyd.netlink.element_reader import ElementReader
from policyd.netlink.elements import ElementsBroken
from policyd.netlink.messages import Message, attribute, message, messages, pack, pairs
from policyd_compiler.nft.ast import Drop, VerdictMap
from policyd_compiler.nft.commands import WholeTable, add, print_changes
from policyd_compiler.nft.keys import KeyType, SetName

pytestmark = pytest.mark.kernel

NEW_SET, NEW_ELEMENTS = 10 << 8 | 9, 10 << 8 | 12
ELEMENTS, COUNT = 3, 20


async def test_a_dump_that_lost_elements_is_no_answer(
    nft: NftWorker, reader: ElementReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a set without a size loses some while it grows, which is no transaction."""
    many = VerdictMap(SetName("many"), KeyType.V4, tuple((n, Drop()) for n in range(5000)))
    await nft.run(print_changes("t", (add(WholeTable()), add(many))))
    lossy = Lossy(reader)
    monkeypatch.setattr(reader, "_socket", lossy)
    for losses, counts in ((1, True), (3, True), (1, False)):
        lossy.losses, lossy.counts = losses, counts
        assert reader.read("t", many) == many
        assert lossy.losses == 0
    lossy.losses = 10_000  # and never a whole one
    with pytest.raises(ElementsBroken, match="something changes all the while"):
        reader.read("t", many)


class Lossy:
    """A socket on which dumps lose an element, another each time, and the kernel may count none."""

    def __init__(self, reader: ElementReader) -> None:
        self._socket = reader._socket
        self.losses, self.counts = 0, True

    def send(self, data: bytes) -> int:
        return self._socket.send(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        found = list(messages(self._socket.recv(size, flags)))
        return b"".join(message(each.kind, each.flags, self._changed(each), each.sequence) for each in found)

    def _changed(self, each: Message) -> bytes:
        payload = each.payload
        kinds = dict(pairs(payload, 4)) if each.kind in (NEW_SET, NEW_ELEMENTS) else {}
        if each.kind == NEW_SET and not self.counts:
            kinds.pop(COUNT, None)
        elif each.kind == NEW_ELEMENTS and self.losses and kinds[ELEMENTS]:
            elements = list(pairs(kinds[ELEMENTS]))
            del elements[self.losses % len(elements)]
            kinds[ELEMENTS] = b"".join(attribute(kind, value, nested=True) for kind, value in elements)
            self.losses -= 1
        return payload[:4] + pack(kinds) if kinds else payload

    def close(self) -> None:
        self._socket.close()
