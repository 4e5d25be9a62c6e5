"""Names of chains and sets: readable first, bounded, and different for different contents.

A name ends in, or holds, 160 bits of a hash of what it stands for. Objects with equal contents share a name
on purpose. Who writes policies chooses contents, so the hash must be too long for anybody to find two with
one name: that takes 2**80 attempts. Should two meet nevertheless, `Names` gives the second a longer name.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeAlias

#: nft takes 255 bytes; a person reads less.
READABLE = 64

#: A hash as text that nft takes within a name.
Digest: TypeAlias = Callable[[bytes], str]


def digest(content: bytes) -> str:
    """160 bits of a hash, in 32 letters and digits."""
    return b32encode(blake2b(content, digest_size=20).digest()).decode().lower()


def readable(policies: tuple[str, ...]) -> str:
    """A short hint for people: the first policy, and how many more. Kubernetes names are legal nft names."""
    first = policies[0][:READABLE].rstrip(".-/")
    return first if len(policies) == 1 else f"{first}.and.{len(policies) - 1}"


class Names:
    """The names given so far in one ruleset: one for each content, never one for two.

    A collision costs the later content a suffix, which hashes that content alone: a name with a suffix never
    means two contents, whatever else is in a ruleset. The name without one may: it is the first content's,
    and in another generation, where the first is absent, the second's. That is safe because plans compare
    contents and not only names (`plan._commit`): the object is rewritten in the commit, and only a packet
    that is between two of its look-ups at that moment could be judged by half of each.
    """

    def __init__(self, digest: Digest = digest) -> None:
        self._contents: dict[str, bytes] = {}
        self._digest = digest

    def of_content(self, prefix: str, content: bytes, hint: str = "") -> tuple[str, bool]:
        """The name `prefix-HASH-hint` of a content, and whether it is new."""
        return self.claim("-".join(part for part in (prefix, self._digest(content), hint) if part), content)

    def claim(self, name: str, content: bytes) -> tuple[str, bool]:
        """Take a name for a content: the name, longer where another content has it, and whether it is new."""
        collisions = 0
        while name in self._contents:
            if self._contents[name] == content:
                return name, False
            collisions += 1
            name = f"{name}-{self._digest(collisions.to_bytes(4) + content)}"
        self._contents[name] = content
        return name, True
