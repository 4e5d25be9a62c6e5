"""What the API server accepts as a name, a label or a port name. Each check returns a sentence, or None."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PORT_NAME = re.compile(r"[-a-z0-9]+")


def subdomain_mistake(text: str) -> str | None:
    """Names of pods, nodes and policies: a DNS subdomain of at most 253 characters (NP-042)."""
    if len(text) <= 253 and _DNS_SUBDOMAIN.fullmatch(text):
        return None
    return (
        f"{quote(text)} is not a valid name: at most 253 lower-case letters, digits, '-' and '.', "
        "with a letter or digit at both ends of each part"
    )


def dns_label_mistake(text: str) -> str | None:
    """Names of namespaces: a DNS label of at most 63 characters."""
    if len(text) <= 63 and _DNS_LABEL.fullmatch(text):
        return None
    return (
        f"{quote(text)} is not a valid namespace name: at most 63 lower-case letters, digits and '-', "
        "with a letter or digit at both ends"
    )


@lru_cache(maxsize=8192)
def label_key_mistake(text: str) -> str | None:
    """A label key: a name of at most 63 characters, after an optional DNS subdomain and a slash (NP-044)."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _DNS_SUBDOMAIN.fullmatch(prefix)):
        return f"{quote(text)} is not a valid label key: what is before the '/' must be a DNS subdomain"
    if len(name) <= 63 and _QUALIFIED.fullmatch(name):
        return None
    return (
        f"{quote(text)} is not a valid label key: at most 63 letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends"
    )


@lru_cache(maxsize=8192)
def label_value_mistake(text: str) -> str | None:
    """A label value: empty, or at most 63 characters with a letter or digit at both ends (NP-044)."""
    if not text or (len(text) <= 63 and _QUALIFIED.fullmatch(text)):
        return None
    return (
        f"{quote(text)} is not a valid label value: at most 63 letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends, or empty"
    )


@lru_cache(maxsize=1024)
def port_name_mistake(text: str) -> str | None:
    """A port name (IANA_SVC_NAME): 1 to 15 of [a-z0-9-], a letter, dashes only single and inside (NP-028)."""
    if text.isascii() and text.isdecimal():
        shown = quote(text)
        return f"{shown} in quotes is a name, which needs a letter; for the number write {shown[1:-1]}"
    if not 1 <= len(text) <= 15:
        return f"{quote(text)} is not a valid port name: it must have 1 to 15 characters"
    if not _PORT_NAME.fullmatch(text):
        return f"{quote(text)} is not a valid port name: only lower-case letters, digits and '-' are allowed"
    if not any("a" <= character <= "z" for character in text):
        return f"{quote(text)} is not a valid port name: it needs a letter"
    if "--" in text or text.startswith("-") or text.endswith("-"):
        return f"{quote(text)} is not a valid port name: no '-' at an end, and never two together"
    return None


def legal_name(text: str) -> str:
    """A name as it is, or one that is legal in its place.

    Names become names of chains and stand in comments, where another character could mean anything.
    """
    if subdomain_mistake(text) is None:
        return text
    return f"illegal-{blake2b(text.encode(errors='surrogatepass'), digest_size=8).hexdigest()}"


def printable(text: str) -> str:
    """Text on one line, with what no terminal should be sent written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quote(text: str) -> str:
    """Text in quotes, printable on any terminal and of a bounded length."""
    shown = text if len(text) <= 80 else text[:77] + "..."
    escaped = shown.encode("unicode_escape").decode("ascii") if not shown.isprintable() else shown
    return '"' + escaped.encode("ascii", "backslashreplace").decode("ascii") + '"'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "from"?` for a misspelt word, else nothing."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:60].lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {quote(by_lower[close[0]])}?" if close else ""
