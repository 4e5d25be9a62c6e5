"""What the agent of this node answers at its socket, as values: for commands that look at it from outside.

That nobody answers is an answer, too.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from policyd.agent_api import AgentState
from policyd.cluster.attachments import Attachments, load_attachments
from policyd.config import LoadedSettings, Settings
from policyd.errors import BadInput

#: An agent may be busy with ten thousand pods.
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody answered, or not as an agent does. `text` says what happened."""

    text: str


async def ask(place: Path | None, path: str) -> bytes | NoAnswer:
    """What the agent with this socket answers to a path."""
    if place is None:
        return NoAnswer("the setting `run_dir` is empty, so the agent answers nobody")
    try:
        async with asyncio.timeout(_SECONDS):
            status, body = await _get(place, path)
    except TimeoutError:
        return NoAnswer(f"who listens at {place} does not answer in {_SECONDS:g} s")
    except PermissionError:
        return NoAnswer(f"only root may ask the agent at {place}")
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        return NoAnswer(f"no agent answers at {place} ({reason})")
    except ValueError:
        return NoAnswer(f"who answers at {place} does not speak HTTP")
    if status not in (200, 503):  # not ready is an answer
        said = body.decode(errors="replace").strip().partition("\n")[0]
        return NoAnswer(f"who answers at {place} says {status} to {path}: {said[:200]}")
    return body


async def _get(place: Path, path: str) -> tuple[int, bytes]:
    """One question in HTTP 1.0, whose answer ends with the connection. Raises ValueError for what is none.

    By hand, as the import of a client takes longer than all else here.
    """
    reader, writer = await asyncio.open_unix_connection(place)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    version, status, *_ = (*head.split(maxsplit=2), b"", b"")
    if not version.startswith(b"HTTP/"):
        raise ValueError(answer[:20])
    return int(status), body


async def ask_state(place: Path | None) -> AgentState | NoAnswer:
    """The state of the agent with this socket."""
    body = await ask(place, "/debug/state")
    if isinstance(body, NoAnswer):
        return body
    try:
        return AgentState.model_validate(json.loads(body))
    except (ValueError, ValidationError):
        return NoAnswer(f"who answers at {place} is not an agent of policyd, or one of another version")


async def ask_attachments(place: Path | None, node: str) -> Attachments | NoAnswer:
    """What the agent with this socket knows of its node's interfaces, if it is the agent of this node."""
    answer = await ask_state(place)
    if isinstance(answer, NoAnswer):
        return answer
    if answer.settings.get("node") != node:
        return NoAnswer(f"the agent here is that of node {answer.settings.get('node')}")
    body = await ask(place, "/debug/attachments")
    if isinstance(body, NoAnswer):
        return body
    try:
        return load_attachments(body, "attachments")
    except BadInput as error:
        return NoAnswer(f"the agent says of its node's interfaces what is not understood: {error}")


async def settings_as_agent(loaded: LoadedSettings) -> Settings:
    """The settings, and where nobody has given one here, the agent's: it may have been started with flags."""
    answer = await ask_state(loaded.settings.socket())
    if isinstance(answer, NoAnswer):
        return loaded.settings
    own = loaded.settings.model_dump()
    theirs = {name: value for name, value in answer.settings.items() if loaded.origins.get(name) == "default"}
    try:
        return Settings(**{**own, **theirs})
    except ValidationError:  # an agent of another version
        return loaded.settings
