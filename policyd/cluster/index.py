"""Pods by label and namespace, as bit masks: a selector is a few AND and OR of integers.

Bit i of a mask stands for the pod number i. The law that holds this file: index = plain scan with
`kube.selectors.matches`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from policyd.kube.objects import LabelSelector, Namespace, Pod, Protocol, Requirement

T = TypeVar("T", bound=Hashable)


def mask_of(bits: Iterable[int], size: int) -> int:
    """The mask with these bits set."""
    out = bytearray(size // 8 + 1)
    for bit in bits:
        out[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(out, "little")


_NOT_EMPTY = re.compile(rb"[^\0]").finditer
#: The positions of the bits of each byte.
_BITS = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))


def bits_of(mask: int) -> list[int]:
    """The positions of the bits that are set, ascending."""
    count, size = mask.bit_count(), mask.bit_length()
    if count <= 16:  # each costs as much as the mask is long
        out: list[int] = []
        while mask:
            low = mask & -mask
            out.append(low.bit_length() - 1)
            mask ^= low
        return out
    data = mask.to_bytes((size + 7) // 8, "little")
    if count < size // 32:  # to look for the next byte with a bit is quick, to find one takes a while
        places = [found.start() for found in _NOT_EMPTY(data)]
        return [place << 3 | bit for place in places for bit in _BITS[data[place]]]
    return [place << 3 | bit for place, byte in enumerate(data) if byte for bit in _BITS[byte]]


#: Of so many bits a list is searched faster than a set is made.
_FEW = 64
#: Bits in no order.
_Bits: TypeAlias = list[int] | set[int]


def _add(found: dict[T, _Bits], at: T, bit: int) -> None:
    bits = found.setdefault(at, [])
    if isinstance(bits, list):
        bits.append(bit)
    else:
        bits.add(bit)


def _remove(found: dict[T, _Bits], at: T, bit: int) -> None:
    bits = found[at]
    if len(bits) > _FEW and isinstance(bits, list):
        bits = found[at] = set(bits)
    bits.remove(bit)
    if not bits:
        del found[at]


class LabelIndex:
    """Masks of labelled things by key and by key and value."""

    def __init__(
        self,
        labels: Iterable[Iterable[tuple[str, str]]],
        standing: Callable[[Iterable[int]], int] | None = None,
    ) -> None:
        """`standing`: the mask that labelled things stand for together; without, each is a bit of its own.

        With masks a selector costs what its requirements are, and not what it finds: those of a key and value
        are joined once.
        """
        self._by_key: dict[str, dict[str, _Bits]] = {}
        self._size = 0  # more than any number
        self._stands_for = standing
        for number, pairs in enumerate(labels):
            self._size = number + 1
            for key, value in pairs:
                _add(self._by_key.setdefault(key, {}), value, number)
        self._there = (1 << self._size) - 1
        self.forget()

    def put(self, number: int, labels: Iterable[tuple[str, str]]) -> None:
        """A thing comes, with a number that none has."""
        self._size = max(self._size, number + 1)
        self._there |= 1 << number
        for key, value in labels:
            _add(self._by_key.setdefault(key, {}), value, number)
        self.forget()

    def drop(self, number: int, labels: Iterable[tuple[str, str]]) -> None:
        """A thing goes that had these labels."""
        self._there ^= 1 << number
        for key, value in labels:
            _remove(self._by_key[key], value, number)
        self.forget()

    def forget(self) -> None:
        """What was found out before holds no more."""
        self._everything: int | None = None
        self._values: dict[tuple[str, str], int] = {}
        self._keys: dict[str, int] = {}
        self._selectors: dict[LabelSelector, int] = {}

    @property
    def everything(self) -> int:
        """All that is labelled."""
        if self._everything is None:
            there = self._there
            self._everything = there if self._stands_for is None else self._standing(bits_of(there))
        return self._everything

    def select(self, selector: LabelSelector) -> int:
        """Everything that a selector matches: all requirements ANDed (NP-030); none matches all (NP-002)."""
        mask = self._selectors.get(selector)
        if mask is None:
            mask = self.everything
            for requirement in selector.requirements:
                mask &= self._require(requirement)
            self._selectors[selector] = mask
        return mask

    def _standing(self, numbers: Iterable[int]) -> int:
        return mask_of(numbers, self._size) if self._stands_for is None else self._stands_for(numbers)

    def _require(self, requirement: Requirement) -> int:
        match requirement.operator:
            case "In":
                return self._any_of(requirement)
            case "NotIn":  # a missing key matches (NP-031)
                return self.everything & ~self._any_of(requirement)
            case "Exists":
                return self._having(requirement.key)
            case "DoesNotExist":
                return self.everything & ~self._having(requirement.key)

    def _any_of(self, requirement: Requirement) -> int:
        mask = 0
        for value in requirement.values:
            mask |= self._with_value(requirement.key, value)
        return mask

    def _with_value(self, key: str, value: str) -> int:
        mask = self._values.get((key, value))
        if mask is None:
            mask = self._standing(self._by_key.get(key, {}).get(value, ()))
            self._values[(key, value)] = mask
        return mask

    def _having(self, key: str) -> int:
        mask = self._keys.get(key)
        if mask is None:
            bits = (bit for found in self._by_key.get(key, {}).values() for bit in found)
            mask = self._keys[key] = self._standing(bits)
        return mask


class PodIndex:
    """Masks of pods by pod selector, by namespace selector and by the ports that they name.

    Bits may be put and dropped one by one; what was asked is then worked out again when it is asked next.
    """

    def __init__(self, pods: Iterable[Pod], namespaces: Mapping[str, Namespace]) -> None:
        found = tuple(pods)
        self._size = len(found)  # at least one more than any bit
        self._labels = LabelIndex(pod.labels for pod in found)
        self._by_namespace: dict[str, _Bits] = {}
        self._by_port: dict[tuple[str, Protocol], dict[int, _Bits]] = {}
        for bit, pod in enumerate(found):
            self._add(bit, pod)
        self._masks: dict[str, int] = {}
        self._names = sorted(namespaces)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        # A namespace stands for its pods.
        self._namespaces = LabelIndex((namespaces[name].labels for name in self._names), self._standing)

    def put(self, bit: int, pod: Pod) -> None:
        """A pod comes, at a bit that none has."""
        self._size = max(self._size, bit + 1)
        self._add(bit, pod)
        self._labels.put(bit, pod.labels)
        self._forget(pod)

    def drop(self, bit: int, pod: Pod) -> None:
        """A pod goes that was put there as it is given."""
        _remove(self._by_namespace, pod.namespace, bit)
        for port in set(pod.ports):
            _remove(self._by_port[port.name, port.protocol], port.number, bit)
        self._labels.drop(bit, pod.labels)
        self._forget(pod)

    def rename(self, before: Namespace | None, after: Namespace | None) -> None:
        """A namespace comes, goes, or has other labels."""
        if before is not None:
            self._namespaces.drop(self._numbers[before.name], before.labels)
        if after is not None:
            if after.name not in self._numbers:
                self._numbers[after.name] = len(self._names)
                self._names.append(after.name)
            self._namespaces.put(self._numbers[after.name], after.labels)

    def in_namespace(self, namespace: str) -> int:
        """The pods of a namespace, by its name."""
        mask = self._masks.get(namespace)
        if mask is None:
            mask = self._masks[namespace] = mask_of(self._by_namespace.get(namespace, ()), self._size)
        return mask

    def bits_in(self, namespace: str) -> Collection[int]:
        """The same one by one."""
        return self._by_namespace.get(namespace, ())

    def pods_in(self, namespace: str) -> int:
        """How many there are."""
        return len(self._by_namespace.get(namespace, ()))

    def in_namespaces(self, selector: LabelSelector) -> int:
        """The pods of every known namespace that a selector matches (NP-048: an unknown one matches none)."""
        return self._namespaces.select(selector)

    def select(self, selector: LabelSelector) -> int:
        """The pods of all namespaces that a selector matches."""
        return self._labels.select(selector)

    def exposing(self, name: str, protocol: Protocol) -> list[tuple[int, int]]:
        """The numbers that pods give a port of this name, ascending, and which pods each."""
        found = self._by_port.get((name, protocol), {})
        return [(number, mask_of(bits, self._size)) for number, bits in sorted(found.items())]

    def _add(self, bit: int, pod: Pod) -> None:
        _add(self._by_namespace, pod.namespace, bit)
        for port in set(pod.ports):
            _add(self._by_port.setdefault((port.name, port.protocol), {}), port.number, bit)

    def _forget(self, pod: Pod) -> None:
        self._masks.pop(pod.namespace, None)
        self._namespaces.forget()

    def _standing(self, numbers: Iterable[int]) -> int:
        names = (self._names[number] for number in numbers)
        return mask_of((bit for name in names for bit in self._by_namespace.get(name, ())), self._size)
