"""`policyd` whose system calls fail as a file says, for as long as it says so: `python -m … FILE run …`.

Each line of the file is an audit event of Python's, a part of what its arguments look like, and an errno; the
call that raises the event then fails. The event `watchfiles` is ours: no inotify is left.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any

from watchfiles import main as watchfiles_main
from watchfiles._rust_notify import WatchfilesRustInternalError

from policyd.__main__ import main


def install(orders: Path) -> None:
    """Let calls fail from now on."""
    busy = threading.local()

    def fail(event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(busy, "reading", False):
            return
        busy.reading = True
        try:
            text = orders.read_text()
        finally:
            busy.reading = False
        for line in text.splitlines():
            wanted, part, name = line.split("\t")
            if event == wanted and part in repr(arguments):
                if event == "_thread.start_new_thread":
                    raise RuntimeError("can't start new thread")
                number = getattr(errno, name)
                raise OSError(number, os.strerror(number))

    rust_notify = vars(watchfiles_main)["RustNotify"]

    def watch(*arguments: Any) -> Any:
        try:
            sys.audit("watchfiles", *arguments)
        except OSError as error:
            raise WatchfilesRustInternalError(f"error in underlying watcher: {error}") from None
        return rust_notify(*arguments)

    vars(watchfiles_main)["RustNotify"] = watch
    sys.addaudithook(fail)


if __name__ == "__main__":
    install(Path(sys.argv.pop(1)))
    sys.exit(main())
