"""Where the kernel takes no table in family bridge, all the rest is enforced, and that is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policyd.applier.backend import NftBroken
from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.node.bridge_guard import BridgeGuard
from policyd_compiler.ir import Attachment
from policyd_compiler.options import Options
from tests.fakes.fake_nft import NO_BRIDGE, FakeNft

BRIDGED = Attachments({"shop/web": Attachment("veth1", "cni0")}, ("cni0",), ("veth1",), ("eth1",))


async def test_a_kernel_that_takes_it_is_asked_once() -> None:
    nft = Asked()
    guard = BridgeGuard(nft, Options())
    assert await guard.guardable(BRIDGED) == await guard.guardable(BRIDGED) == (BRIDGED, "")
    assert nft.asked == 1


async def test_without_bridges_no_kernel_is_asked() -> None:
    nft = Asked()
    guard = BridgeGuard(nft, Options())
    routed = replace(UNKNOWN, pods={"shop/web": Attachment("veth1")})
    assert await guard.guardable(routed) == (routed, "")
    assert nft.asked == 0


async def test_a_kernel_that_refuses_it_binds_pods_by_their_bridge_and_is_asked_again() -> None:
    nft = Asked(refuses=NO_BRIDGE)
    guard = BridgeGuard(nft, Options())
    attachments, said = await guard.guardable(BRIDGED)
    assert attachments == replace(BRIDGED, bridges=())
    assert said.startswith("the ports of cni0 are not guarded, so between their pods tagged frames, ")
    assert "nf_tables_bridge" in said
    nft.refuses = ()
    assert await guard.guardable(BRIDGED) == (BRIDGED, "")
    assert nft.asked == 2


async def test_a_kernel_that_cannot_be_asked_is_not_taken_to_agree() -> None:
    attachments, said = await BridgeGuard(Broken(), Options()).guardable(BRIDGED)
    assert (attachments.bridges, "is not known: the worker is gone" in said) == ((), True)


class Asked(FakeNft):
    """Counts what it is asked."""

    asked = 0

    async def check(self, script: str) -> None:
        self.asked += 1
        await super().check(script)


class Broken(FakeNft):
    """Nobody answers."""

    async def check(self, script: str) -> None:
        raise NftBroken("the worker is gone", retryable=True)


@pytest.mark.parametrize("bridges", [("br0",), ("br0", "cni0")])
async def test_every_bridge_is_named(bridges: tuple[str, ...]) -> None:
    guard = BridgeGuard(FakeNft(refuses=NO_BRIDGE), Options())
    _, said = await guard.guardable(replace(BRIDGED, bridges=bridges))
    assert f"the ports of {', '.join(bridges)} are" in said
