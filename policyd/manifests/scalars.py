"""What a plain YAML scalar means to kubectl (sigs.k8s.io/yaml, a fork of go-yaml 2): nearly YAML 1.1."""

from __future__ import annotations

import re

#: What `.nan` and `.inf` are: numbers in YAML, and nothing that JSON can hold.
NOT_A_NUMBER = object()

_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), NOT_A_NUMBER),
    **{sign + word: NOT_A_NUMBER for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
# A scalar that starts otherwise is neither a word above nor a number.
_MAY_MEAN_SOMETHING = frozenset("~nNyYtToOfF.+-0123456789")
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def resolve_scalar(text: str) -> object:
    """None, a boolean, a number, NOT_A_NUMBER, or the text itself. Dates and 1:30 are text."""
    if not text:
        return None
    if text[0] not in _MAY_MEAN_SOMETHING:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in "+-.0123456789" else text


def _number(text: str) -> object:
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits) and len(digits) <= 66:
        value = _integer(digits)
        if -(1 << 63) <= value < 1 << 64:
            return value
    if _FLOAT.fullmatch(digits) and len(digits) <= 400:
        number = float(digits)
        if abs(number) != float("inf"):
            return number
    return text


def _integer(digits: str) -> int:
    """As Go's ParseInt with base 0: a leading zero is octal."""
    bare = digits.lstrip("+-")
    octal = len(bare) > 1 and bare[0] == "0" and bare[1] in "01234567"
    value = int(bare, 8 if octal else 0)
    return -value if digits[0] == "-" else value
