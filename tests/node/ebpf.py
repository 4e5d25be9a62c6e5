"""eBPF networks in small: a program of four instructions that carries packets from one pod into another.

It does with `bpf_redirect_peer` what Cilium does. Loaded and attached by system calls alone: a test needs
neither a compiler nor a loader.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct

from policyd.lab.namespace import Namespace
from policyd.netlink.messages import ACK, REQUEST, ask, attribute, message, open_socket

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, SCHED_CLS, REDIRECT, REDIRECT_PEER = 5, 3, 23, 155
MOVE, CALL, LEAVE = 0xB7, 0x85, 0x95
NEW_FILTER, CREATE, CLSACT_INGRESS = 44, 0x400, 0xFFFF_FFF2
_LIBC = ctypes.CDLL(None, use_errno=True)


def load_redirect_peer(interface: int) -> int:
    """A descriptor of a program that puts every packet behind the interface with this index."""
    return _load(((MOVE, 1, interface), (MOVE, 2, 0), (CALL, 0, REDIRECT_PEER), (LEAVE, 0, 0)))


def load_redirect(interface: int) -> int:
    """A descriptor of a program that sends every packet out of the interface with this index."""
    return _load(((MOVE, 1, interface), (MOVE, 2, 0), (CALL, 0, REDIRECT), (LEAVE, 0, 0)))


def load_pass() -> int:
    """A descriptor of a program that lets every packet go on to IP."""
    return _load(((MOVE, 0, 0), (LEAVE, 0, 0)))


def _load(code: tuple[tuple[int, int, int], ...]) -> int:
    text = b"".join(
        struct.pack("=BBhi", operation, register, 0, value) for operation, register, value in code
    )
    instructions, license_ = ctypes.create_string_buffer(text), ctypes.create_string_buffer(b"GPL")
    asked = struct.pack(
        "=IIQQ", SCHED_CLS, len(code), ctypes.addressof(instructions), ctypes.addressof(license_)
    )
    attributes = ctypes.create_string_buffer(asked.ljust(128, b"\0"), 128)
    found: int = _LIBC.syscall(BPF, PROG_LOAD, attributes, len(attributes))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def attach(program: int, interface: int) -> None:
    """Let a program meet first what comes in by an interface, which has the discipline clsact."""
    options = (
        attribute(6, struct.pack("=I", program))
        + attribute(7, b"test\0")
        + attribute(8, struct.pack("=I", 1))
    )
    everything = 1 << 16 | int.from_bytes(struct.pack("!H", 3), "little")
    payload = struct.pack("=BxHiIII", 0, 0, interface, 0, CLSACT_INGRESS, everything)
    payload += attribute(1, b"bpf\0") + attribute(2, options, nested=True)
    with open_socket(0) as opened:
        assert list(ask(opened, message(NEW_FILTER, REQUEST | ACK | CREATE, payload))) == []


def send(sender: Namespace, address: str, count: int) -> None:
    """Send datagrams to whom a program may carry them; nobody has to listen."""
    with sender.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        for _ in range(count):
            opened.sendto(b"x", (address, 9))


def attach_tcx(program: int, interface: int) -> None:
    """The same by TCX, which links do not list. It stays as long as this process does, or the link."""
    asked = struct.pack("=IIII", interface, program, 46, 0)
    attributes = ctypes.create_string_buffer(asked.ljust(128, b"\0"), 128)
    if _LIBC.syscall(BPF, 8, attributes, len(attributes)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
