"""Follows the kubelet's Pods API at its socket. The only file that knows the gRPC library."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from grpclib import GRPCError, Status
from grpclib.client import Channel, UnaryStreamMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import ProtocolError, StreamTerminatedError

from policyd.kubelet.message import WATCH, Said, read_event

#: absent: nothing is there, as with a kubelet before 1.37. starting: it does not know its pods yet. unknown:
#: it serves another version of the API. slow: it has cut us off, as we did not take its events.
Reason: TypeAlias = Literal[
    "absent", "refused", "starting", "unknown", "slow", "ended", "malformed", "silent"
]

_REASONS: Final[dict[Status, Reason]] = {
    Status.FAILED_PRECONDITION: "starting",
    Status.UNIMPLEMENTED: "unknown",
    Status.RESOURCE_EXHAUSTED: "slow",
    Status.PERMISSION_DENIED: "refused",
}


class KubeletError(Exception):
    """The kubelet cannot be followed, or not any more."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text


class _Bytes(CodecBase):
    """Messages stay bytes: what is in them is read elsewhere."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 the library's
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002 the library's
        return data


async def follow(socket: Path) -> AsyncGenerator[Said, None]:
    """What the kubelet says, beginning with all its pods. Ends by KubeletError, or when it is closed."""
    channel = Channel(path=str(socket), codec=_Bytes())
    try:
        async with UnaryStreamMethod(channel, WATCH, bytes, bytes).open() as stream:
            try:
                await stream.send_message(b"", end=True)
                async for message in stream:
                    yield read_event(message)
            except GeneratorExit:
                await stream.cancel()
                raise
        raise KubeletError("ended", "the kubelet ended the stream")
    except KubeletError:
        raise
    except Exception as error:  # noqa: BLE001 HTTP/2 below the library has errors of its own
        raise _said(error, socket) from None
    finally:
        channel.close()


def _said(error: Exception, socket: Path) -> KubeletError:
    """What an error means for who follows."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return KubeletError("absent", f"there is no {socket}")
        case GRPCError():
            reason = _REASONS.get(error.status, "ended")
            return KubeletError(reason, f"{error.status.name}: {(error.message or '')[:200]}")
        case StreamTerminatedError():
            return KubeletError("ended", str(error))
        case AttributeError() if "_transport" in str(error):
            # The library takes its transport off a connection that is lost, and then asks it for a stream.
            return KubeletError("ended", "the connection was lost before it was used")
        case ValueError() | ProtocolError():
            return KubeletError("malformed", str(error))
        case OSError():
            return KubeletError("refused", error.strerror or str(error))
        case _:
            return KubeletError("malformed", f"{type(error).__name__}: {error}")
