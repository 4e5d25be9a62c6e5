"""Pods by label and namespace, as bit masks: a selector is a few AND and OR of integers.

Bit i of a mask stands for `pods[i]`. The law that holds this file: index = plain scan with
`kube.selectors.matches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd.kube.objects import LabelSelector, Namespace, Pod, Requirement


def mask_of(bits: Iterable[int], size: int) -> int:
    """The mask with these bits set."""
    out = bytearray(size // 8 + 1)
    for bit in bits:
        out[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(out, "little")


def bits_of(mask: int) -> list[int]:
    """The positions of the bits that are set, ascending."""
    if mask.bit_count() <= 64:
        out: list[int] = []
        while mask:
            low = mask & -mask
            out.append(low.bit_length() - 1)
            mask ^= low
        return out
    return [bit for bit, digit in enumerate(bin(mask)[:1:-1]) if digit == "1"]


class LabelIndex:
    """Masks of labelled things by key and by key and value."""

    def __init__(
        self, labels: Iterable[Iterable[tuple[str, str]]], standing: tuple[int, ...] | None = None
    ) -> None:
        """`standing`: for each labelled thing the mask that it stands for; without, it is a bit of its own.

        With masks a selector costs what its requirements are, and not what it finds: those of a key and value
        are joined once.
        """
        by_key: dict[str, dict[str, list[int]]] = {}
        size = 0
        for bit, pairs in enumerate(labels):
            size = bit + 1
            for key, value in pairs:
                by_key.setdefault(key, {}).setdefault(value, []).append(bit)
        self._by_key = by_key
        self._size = size
        self._standing = standing
        self.everything = (1 << size) - 1 if standing is None else self._mask(range(size))
        self._values: dict[tuple[str, str], int] = {}
        self._keys: dict[str, int] = {}
        self._selectors: dict[LabelSelector, int] = {}

    def select(self, selector: LabelSelector) -> int:
        """Everything that a selector matches: all requirements ANDed (NP-030); none matches all (NP-002)."""
        mask = self._selectors.get(selector)
        if mask is None:
            mask = self.everything
            for requirement in selector.requirements:
                mask &= self._require(requirement)
            self._selectors[selector] = mask
        return mask

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

    def _mask(self, bits: Iterable[int]) -> int:
        if self._standing is None:
            return mask_of(bits, self._size)
        mask = 0
        for bit in bits:
            mask |= self._standing[bit]
        return mask

    def _with_value(self, key: str, value: str) -> int:
        mask = self._values.get((key, value))
        if mask is None:
            mask = self._mask(self._by_key.get(key, {}).get(value, ()))
            self._values[(key, value)] = mask
        return mask

    def _having(self, key: str) -> int:
        mask = self._keys.get(key)
        if mask is None:
            bits = (bit for found in self._by_key.get(key, {}).values() for bit in found)
            mask = self._keys[key] = self._mask(bits)
        return mask


class PodIndex:
    """Masks of pods by pod selector and by namespace selector."""

    def __init__(self, pods: tuple[Pod, ...], namespaces: Mapping[str, Namespace]) -> None:
        self.pods = pods
        self._labels = LabelIndex(pod.labels for pod in pods)
        by_namespace: dict[str, list[int]] = {}
        for bit, pod in enumerate(pods):
            by_namespace.setdefault(pod.namespace, []).append(bit)
        self._by_namespace = {name: mask_of(bits, len(pods)) for name, bits in by_namespace.items()}
        # A namespace stands for its pods.
        names = tuple(sorted(namespaces))
        self._namespaces = LabelIndex(
            (namespaces[name].labels for name in names), tuple(map(self.in_namespace, names))
        )

    def in_namespace(self, namespace: str) -> int:
        """The pods of a namespace, by its name."""
        return self._by_namespace.get(namespace, 0)

    def in_namespaces(self, selector: LabelSelector) -> int:
        """The pods of every known namespace that a selector matches (NP-048: an unknown one matches none)."""
        return self._namespaces.select(selector)

    def select(self, selector: LabelSelector) -> int:
        """The pods of all namespaces that a selector matches."""
        return self._labels.select(selector)
