"""Names of chains and sets: readable first, bounded, and different for different contents.

A name ends in, or holds, 48 bits of a hash of what it stands for. Objects with equal contents share a name
on purpose; a ruleset in which two contents meet in one name is refused (`Names`).
"""

from __future__ import annotations

from hashlib import blake2b

from policyd_compiler.errors import CompilerBug

#: nft takes 255 bytes; a person reads less.
READABLE = 64


def digest(content: bytes) -> str:
    """12 hexadecimal digits of a hash."""
    return blake2b(content, digest_size=6).hexdigest()


def readable(policies: tuple[str, ...]) -> str:
    """A short hint for people: the first policy, and how many more. Kubernetes names are legal nft names."""
    first = policies[0][:READABLE].rstrip(".-/")
    return first if len(policies) == 1 else f"{first}.and.{len(policies) - 1}"


class Names:
    """The names given so far in one ruleset; refuses one name for two contents."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def claim(self, name: str, content: bytes) -> bool:
        """Take a name for a content. True when it is new, False when it is taken for the same content.

        Raises CompilerBug when it is taken for another: a collision of the hash.
        """
        known = self._contents.setdefault(name, content)
        if known is content:
            return True
        if known != content:
            raise CompilerBug(f"two contents want the name {name}")
        return False
