"""What nft and the kernel can do here, asked once and kept as a value with sentences for a person.

Only what policyd uses: it needs no `destroy`, no sets with timeouts, no flowtables. Changes nothing.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

from policyd.applier.backend import Nft, NftUnavailable
from policyd.applier.program import NftProgram

#: The oldest version that was tested.
OLDEST_NFT = (1, 0, 6)
_VERSION = re.compile(r"nftables v([0-9]+(?:\.[0-9]+)*)")
#: Look-ups begin again when a transaction comes in between ("restart set lookup on base_seq change").
_RESTARTS = (6, 17)
_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])")
_JSON = re.compile(r"^\s*json:\s*yes\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`nft` is the version of the program, empty where there is none; the library is of the same package."""

    backend: str
    nft: str
    json: bool
    kernel: str

    def sentences(self) -> tuple[str, ...]:
        """What was found, and what to do about it."""
        return (f"backend: {self.backend}", f"nft: {self._nft()}", f"kernel: {self.kernel}")

    def _nft(self) -> str:
        if not self.nft:
            return "the program is not installed, so the version is unknown"
        text = (
            self.nft if self.json else f"{self.nft}, without JSON: policyd cannot read back; install one with"
        )
        if tuple(map(int, self.nft.split("."))) < OLDEST_NFT:
            text += f" (older than {'.'.join(map(str, OLDEST_NFT))}, the oldest that was tested)"
        return text


def replaces_are_atomic(release: str) -> bool:
    """Whether the kernel of this release finds a key whose data one transaction replaces, at any moment.

    An older one may find neither the old data nor the new; to which the repair was carried back is not known.
    """
    found = _RELEASE.match(release)
    return found is not None and (int(found[1]), int(found[2])) >= _RESTARTS


async def probe_nft(nft: Nft, program: str = "nft") -> Capabilities:
    """Ask what there is; `nft` is the backend in use."""
    try:
        _, text, _ = await NftProgram(program=program).call("", "-V")
    except NftUnavailable:
        text = ""
    version = _VERSION.search(text)
    return Capabilities(
        backend=nft.describe(),
        nft=version[1] if version else "",
        json=_JSON.search(text) is not None,
        kernel=platform.release(),
    )
