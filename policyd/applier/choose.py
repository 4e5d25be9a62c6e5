"""Open the backend that works here: the library where it does, else the program.

Tries each with what it will be asked to do, and changes nothing: a list and a dry run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias, TypeVar, assert_never

from policyd.applier.backend import Nft, NftBroken, NftRefused, NftUnavailable
from policyd.applier.program import NftProgram
from policyd.applier.worker import LIBRARY, NftWorker

BackendKind: TypeAlias = Literal["auto", "library", "program"]

#: A table that nobody has: neither try touches anything.
_NOBODYS = "policyd-self-test"
#: A worker may be killed at any moment, also while an agent begins.
_ATTEMPTS = 3
Answer = TypeVar("Answer")


async def retry_idempotent(question: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask what changes nothing, and again if the worker is killed meanwhile. Raises NftBroken at last."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await question()
        except NftBroken as error:
            if not error.retryable:
                raise
    return await question()


async def open_backend(kind: BackendKind, netns: str | None = None, library: str = LIBRARY) -> Nft:
    """A backend that has passed its self-test; the caller closes it. Raises NftUnavailable or NftBroken.

    `netns` is the path of a network namespace, None for the one of this process.
    """
    match kind:
        case "library":
            return await _tested(NftWorker(netns, library=library))
        case "program":
            return await _tested(NftProgram(netns))
        case "auto":
            try:
                return await _tested(NftWorker(netns, library=library))
            except (NftUnavailable, NftBroken) as error:
                return await _tested(NftProgram(netns, note=f"the library is not usable: {error}"))
        case _:
            assert_never(kind)


async def _tested(nft: Nft) -> Nft:
    try:
        await retry_idempotent(lambda: nft.list_table(_NOBODYS))
        await retry_idempotent(lambda: nft.check(f"add table inet {_NOBODYS}\n"))
    except NftRefused as error:
        await nft.close()
        raise NftUnavailable(f"{nft.describe()} does not work here: {error}") from error
    except BaseException:
        await nft.close()
        raise
    return nft
