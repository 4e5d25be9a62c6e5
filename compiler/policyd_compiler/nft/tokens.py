"""Words of an nft script, with their lines. Knows no grammar."""

from __future__ import annotations

import re

_TOKEN = re.compile(r'(?P<note>^[ \t]*#[^\n]*)|"[^"\n]*"|[{};,\n]|[^\s{};,"]+|(?P<bad>")', re.MULTILINE)


class ParseError(ValueError):
    """The text is not what our printer prints."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line
        self.text = text


def words_of(text: str) -> list[str]:
    """The words of one line, as a cursor meets them."""
    return [found.group() for found in _TOKEN.finditer(text)]


class Tokens:
    """A cursor over the words of a script. Notes (`# …`) are gathered until somebody takes them."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        self._lines: list[int] = []
        line = 1
        for found in _TOKEN.finditer(text):
            word = found.group()
            if found.lastgroup == "bad":
                raise ParseError(line, "a string without an end")
            self._words.append(word)
            self._lines.append(line)
            line += word == "\n"
        self._words.append("")
        self._lines.append(line)
        self._at = 0
        self._notes: list[str] = []

    @property
    def line(self) -> int:
        """The line of the next word."""
        return self._lines[self._at]

    def peek(self) -> str:
        """The next word, which stays; empty at the end."""
        return self._words[self._at]

    def take(self) -> str:
        """The next word."""
        word = self._words[self._at]
        if not word:
            raise ParseError(self.line, "unexpected end")
        self._at += 1
        return word

    def accept(self, word: str) -> bool:
        """Take the next word if it is this one."""
        if self._words[self._at] != word:
            return False
        self._at += 1
        return True

    def accept_all(self, words: tuple[str, ...]) -> bool:
        """Take the next words if they are these."""
        end = self._at + len(words)
        if tuple(self._words[self._at : end]) != words:
            return False
        self._at = end
        return True

    def expect(self, *words: str) -> None:
        """Take exactly these words."""
        for word in words:
            if not self.accept(word):
                raise self.error(f"expected {word!r}, not {self.peek()!r}")

    def skip_space(self) -> None:
        """Pass over ends of lines and statements; gather notes."""
        while (word := self._words[self._at]) in ("\n", ";") or (word and word.lstrip(" \t")[0] == "#"):
            if word not in ("\n", ";"):
                self._notes.append(word.lstrip(" \t")[1:].removeprefix(" "))
            self._at += 1

    def notes(self) -> tuple[str, ...]:
        """The notes gathered since the last call."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def end_statement(self) -> None:
        """A statement ends at the end of its line, at `;`, or before `}`."""
        if self.peek() not in ("}", "") and not self.accept(";") and not self.accept("\n"):
            raise self.error(f"unexpected {self.peek()!r}")

    def until(self, *ends: str) -> list[str]:
        """The words before the first of `ends`, which stays; ends of lines do not count."""
        words: list[str] = []
        while self.peek() not in ends:
            word = self.take()
            if word != "\n":
                words.append(word)
        return words

    def error(self, text: str) -> ParseError:
        """An error at the next word."""
        return ParseError(self.line, text)
