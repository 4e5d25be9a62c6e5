"""Whether this kernel takes the table that guards the ports of bridges, and what is left without it."""

from __future__ import annotations

from dataclasses import replace

from policyd.applier.backend import Nft
from policyd.cluster.attachments import Attachments
from policyd.errors import EnvironmentRefused
from policyd.node.self_test import bridge_unsupported_reason
from policyd_compiler.options import Options


class BridgeGuard:
    """Asks the kernel once there is a bridge, and again until it takes the table."""

    def __init__(self, nft: Nft, options: Options) -> None:
        self._nft, self._options = nft, options
        self._takes = False

    async def refusal(self) -> str:
        """Why the kernel takes no table in family bridge, or cannot be asked; empty if it takes one."""
        if self._takes:
            return ""
        try:
            refused = await bridge_unsupported_reason(self._nft, self._options)
        except EnvironmentRefused as error:
            return f"whether the kernel takes a table in family bridge is not known: {error}"
        self._takes = refused is None
        return refused or ""

    async def guardable(self, attachments: Attachments) -> tuple[Attachments, str]:
        """The attachments as they can be enforced, and what is not guarded then; empty if all is.

        Without `bridges` no table is compiled next to family inet, which closes groups instead.
        """
        if not attachments.bridges:
            return attachments, ""
        refused = await self.refusal()
        if not refused:
            return attachments, ""
        return replace(attachments, bridges=()), unguarded(attachments, refused)


def unguarded(attachments: Attachments, refused: str) -> str:
    """What may pass where the table is missing, as a sentence."""
    return (
        f"the ports of {', '.join(attachments.bridges)} are not guarded, so between their pods tagged "
        f"frames, a sibling's address and multicast may pass: {refused}"
    )
