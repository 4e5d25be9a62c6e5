"""Answers of the kernel are read to their end, and what is none raises: no kernel is needed."""

from __future__ import annotations

import errno
import struct
from typing import Any, cast

import pytest

from policyd.netlink.messages import Malformed, Message, answers, ask, attribute, message, messages, pairs
from tests.fuzz.netlink_reader import DONE, Answered

FOUND = 16
ERROR, LAST = 2, 3


def answered(answer: bytes) -> Any:
    return cast(Any, Answered(answer))


def test_a_dump_is_read_to_its_end() -> None:
    answer = message(FOUND, 2, b"a") + b"\0\0\0" + message(FOUND, 2, b"bcd1") + DONE
    assert list(ask(answered(answer), b"?")) == [b"a", b"bcd1"]


def test_a_dump_that_the_kernel_broke_off_is_not_the_whole() -> None:
    """Its end says why."""
    broken = message(FOUND, 2, b"1234") + message(LAST, 2, struct.pack("=i", -errno.ENOENT))
    with pytest.raises(FileNotFoundError):
        list(ask(answered(broken), b"?"))


def test_what_answers_another_question_is_passed_over() -> None:
    """One whose answer was left unread, as after an error."""
    old = message(FOUND, 2, b"old!", 7) + message(LAST, 2, bytes(4), 7)
    new = message(FOUND, 2, b"new!", 8) + message(LAST, 2, bytes(4), 8)
    assert [found.payload for found in answers(answered(old + new), 8)] == [b"new!"]


def test_a_notification_says_whose_socket_it_was() -> None:
    header = struct.pack("=IHHII", 20, FOUND, 2, 3, 4711)
    assert list(messages(header + b"1234")) == [Message(FOUND, 2, 3, 4711, b"1234")]


@pytest.mark.parametrize(
    "data",
    [
        b"short",
        struct.pack("=IHHII", 0, FOUND, 0, 0, 0),
        struct.pack("=IHHII", 15, FOUND, 0, 0, 0),
        struct.pack("=IHHII", 17, FOUND, 0, 0, 0),
        message(FOUND, 0, b"1234") + b"\1",
    ],
)
def test_what_is_no_message_raises(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(messages(data))


@pytest.mark.parametrize(
    "data", [b"\4", struct.pack("=HH", 0, 1), struct.pack("=HH", 3, 1), struct.pack("=HH", 5, 1)]
)
def test_what_is_no_attribute_raises(data: bytes) -> None:
    assert list(pairs(attribute(1, b"x") + attribute(1, b"y"))) == [(1, b"x"), (1, b"y")]
    with pytest.raises(Malformed):
        list(pairs(attribute(1, b"x") + data))


@pytest.mark.parametrize("number", [1, -5000, -(2**31)])
def test_an_error_without_a_number_of_the_kernel_raises(number: int) -> None:
    with pytest.raises(Malformed):
        list(ask(answered(message(ERROR, 0, struct.pack("=i", number))), b"?"))
