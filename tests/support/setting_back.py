"""Somebody who undoes what an agent sets, again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from policyd.lab.namespace import Namespace


@contextmanager
def setting_back(node: Namespace) -> Iterator[None]:
    """Somebody who takes the bridge's options away, again and again."""
    over = threading.Event()

    def set_back() -> None:
        while not over.wait(0.01):
            node.ip(["link set cni0 type bridge nf_call_iptables 0 nf_call_ip6tables 0"])

    somebody = threading.Thread(target=set_back)
    somebody.start()
    try:
        yield
    finally:
        over.set()
        somebody.join()
