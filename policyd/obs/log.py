"""Logging: lines for people on a terminal, JSON lines elsewhere. Nothing else decides how a line looks.

A message is a constant sentence, the name of the event; what varies is in the fields (`extra=`).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import deque
from typing import Literal, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Characters of a line that is kept in memory.
LONGEST_LINE = 4000
_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


def set_up(level: str, form: Literal["auto", "human", "json"], stream: TextIO = sys.stderr) -> None:
    """Send everything from `level` on to a stream, in one of the two forms."""
    human = form == "human" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter(colour=stream.isatty()) if human else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler, Recent()], force=True)
    # The client libraries print whole response bodies below this.
    for name in ("kubernetes_asyncio", "aiohttp", "asyncio", "watchfiles"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def recent_lines() -> tuple[str, ...]:
    """The last lines that were logged, as JSON whatever the form; none before `set_up`."""
    kept = next((each for each in logging.getLogger().handlers if isinstance(each, Recent)), None)
    return tuple(kept.lines) if kept is not None else ()


class Recent(logging.Handler):
    """Keeps the last lines in memory, for a person who asks an agent whose log is elsewhere."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: deque[str] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, but of a very long one only the beginning."""
        try:
            self.lines.append(self.format(record)[:LONGEST_LINE])
        except Exception:  # noqa: BLE001 as every handler does: a line that cannot be made ends nobody
            self.handleError(record)


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller added to a record."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object to a line: ts (UTC), level, msg, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "ts": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class HumanFormatter(logging.Formatter):
    """Time, level and sentence, then the fields as key=value."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and a traceback if there is one."""
        extra = "".join(f" {key}={_value(value)}" for key, value in fields(record).items())
        level = record.levelname
        if self._colour and level in _COLOURS:
            level = f"\x1b[{_COLOURS[level]}m{level}\x1b[0m"
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {level:7} {record.getMessage()}"
        if record.exc_info:
            extra += "\n" + self.formatException(record.exc_info)
        return f"{line}{extra}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and " " in text else text
