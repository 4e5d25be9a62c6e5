"""What becomes of packets by one side of them: masks, each with what is done, found without asking all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Node(NamedTuple, Generic[T]):
    """All bits below, and what is there: two further nodes, or what is done with exactly these bits."""

    mask: int
    below: tuple[_Node[T], _Node[T]] | None
    then: T | None


class Parts(Generic[T]):
    """Parts of one side, in their order; of a bit in several the first counts.

    Of a map of a thousand keys most boxes meet one: the rest is passed over by halves, as all of their bits
    together are none of the box.
    """

    def __init__(self, side: int, parts: Iterable[tuple[int, T]]) -> None:
        self.side = side
        self._parts = tuple(parts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def met(self, value: int) -> Iterator[tuple[int, T]]:
        """The bits of a value that are in parts, by part."""
        waiting = [self._root] if self._parts else []
        while waiting and value:
            mask, below, then = waiting.pop()
            inside = value & mask
            if not inside:
                continue
            if below is None:
                value &= ~inside
                yield inside, then  # type: ignore[misc]
            else:
                waiting += below[1], below[0]

    @cached_property
    def _root(self) -> _Node[T]:
        level = [_Node[T](mask, None, then) for mask, then in self._parts]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            odd = level[-1:] if len(level) % 2 else []
            level = [_Node[T](one.mask | other.mask, (one, other), None) for one, other in pairs] + odd
        return level[0]
