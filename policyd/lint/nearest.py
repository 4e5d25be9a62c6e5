"""What a misspelt word may have meant. Strict on purpose: a wrong suggestion is worse than none."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"[0-9]+")
_PARTS = re.compile(r"[-_./]")
#: Longer words are no typos of each other if so many letters differ.
_LONG = 8


def near(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The nearest of the known words that `word` is a misspelling of, sorted; none if it is known itself."""
    found: dict[int, list[str]] = {}
    letters = frozenset(word.lower())
    for other in dict.fromkeys(known):
        if other == word:
            return ()
        # Two slips change the length by two at most, and four letters: mostly that is all there is to ask.
        if abs(len(word) - len(other)) > 2 or len(letters.symmetric_difference(other.lower())) > 4:
            continue
        distance = _misspelt(word, other)
        if distance is not None:
            found.setdefault(distance, []).append(other)
    return tuple(sorted(found[min(found)])) if found else ()


def _misspelt(word: str, other: str) -> int | None:
    """How many slips make `word` of `other`; None if that is too many, or they are two of a series."""
    mine, theirs = _PARTS.split(word), _PARTS.split(other)
    if len(mine) != len(theirs):
        return _slips(word, other)
    # app-a and app-b differ in a whole part, though in one letter only.
    slips = [_slips(a, b) for a, b in zip(mine, theirs, strict=True) if a != b]
    known = [each for each in slips if each is not None]
    return sum(known) if len(known) == len(slips) and sum(known) <= 2 else None


def _slips(word: str, other: str) -> int | None:
    if word.lower() == other.lower():
        return 0
    if _DIGITS.sub("", word) == _DIGITS.sub("", other):  # web-1 and web-2
        return None
    longest = max(len(word), len(other))
    most = 2 if longest >= _LONG else 1
    if abs(len(word) - len(other)) > most or min(len(word), len(other)) < 2:
        return None
    distance = _distance(word.lower(), other.lower())
    # Short words of the same length differ in a letter because they are other words: api and app.
    if distance > most or (longest < 5 and len(word) == len(other) and not _swapped(word, other)):
        return None
    return distance


def _swapped(word: str, other: str) -> bool:
    """Whether the same letters stand in another order."""
    return sorted(word.lower()) == sorted(other.lower())


def _distance(a: str, b: str) -> int:
    """Letters that are missing, too many, others, or two in the wrong order (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        now = [i]
        for j, right in enumerate(b, start=1):
            cost = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        before, row = row, now
    return row[-1]


def did_you_mean(words: Iterable[str]) -> str:
    """`did you mean web?`, or `did you mean web or wed?`."""
    return f"did you mean {' or '.join(words)}?"
