"""Why a list or a watch came to its end, as one word for the metric and one sentence for a person."""

from __future__ import annotations

from typing import Literal, TypeAlias

from policyd.errors import PolicydError

Reason: TypeAlias = Literal[
    "ended",  # the server closed the watch in its regular way
    "expired",  # 410: the server no longer remembers what came after our resourceVersion
    "ahead",  # 504: the server has not reached our resourceVersion (a lagging replica, a restored etcd)
    "throttled",  # 429
    "server-error",  # any other 5xx
    "unauthorized",  # 401, or no credentials to be had
    "untrusted",  # TLS: the server's certificate is not one we trust
    "forbidden",  # 403
    "missing",  # 404: the server does not know the kind
    "unread",  # the server has the kind, in no version that is read here
    "unsupported",  # the server cannot stream a list
    "refused",  # any other answer that is no list and no watch
    "unreachable",  # no connection
    "silent",  # a connection on which nothing comes any more
    "overdue",  # the server did not end in the time it was given
    "broken",  # the connection broke in the middle
    "malformed",  # what came is not what a list or a watch consists of
]


class WatchError(PolicydError):
    """A list or a watch failed. It is always tried again; `retry_after` is the server's, in seconds."""

    def __init__(self, reason: Reason, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.text = text
        self.retry_after = retry_after


def refusal(code: int, text: str, retry_after: float | None = None) -> WatchError:
    """What a status code means, in a response or in an ERROR event."""
    reasons: dict[int, Reason] = {
        401: "unauthorized",
        403: "forbidden",
        404: "missing",
        410: "expired",
        429: "throttled",
    }
    reason = reasons.get(code, "server-error" if code >= 500 else "refused")
    return WatchError(reason, f"HTTP {code}: {text}" if text else f"HTTP {code}", retry_after)
