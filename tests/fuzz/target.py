"""A target: one reader of text from outside, what it is given, and how its inputs are damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.fuzz.mutations import Mutation

#: Reads an input, and says in a word or a sentence what came of it. Raises for what must not be.
Reader: TypeAlias = Callable[[bytes], str]

CORPUS = Path(__file__).resolve().parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """`read` meets every input; `good` are inputs as they should be, from which the others are made."""

    name: str
    read: Reader
    good: tuple[bytes, ...]
    mutations: tuple[Mutation, ...]

    def corpus(self) -> dict[str, bytes]:
        """The inputs that are kept, by the names of their files."""
        return {path.name: path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))}
