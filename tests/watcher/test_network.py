"""A network that fails between a reflector and its server: the emulator, or with `-m cluster` a real one."""

from __future__ import annotations

from pathlib import Path

from policyd.cluster.events import Delete
from policyd.watcher.transport import Timeouts
from tests.watcher.conftest import Serve
from tests.watcher.emulator import PODS
from tests.watcher.objects import pod
from tests.watcher.scene import scene
from tests.watcher.valve import valve


async def test_what_happened_while_disconnected_is_made_up_for(serve: Serve, tmp_path: Path) -> None:
    async with serve() as server, valve(server.access, tmp_path) as between:
        await server.put(PODS, pod("stays"), pod("goes"), pod("turns"))
        async with scene(between.access, "Pod") as working:
            await working.synced()
            between.shut()
            await working.until(lambda: len(working.recorder.pauses) >= 2)
            await server.delete(PODS, "shop/goes", "shop/turns")
            await server.put(PODS, pod("turns", labels={"new": "yes"}), pod("comes"))
            assert "shop/goes" in working.reflector.objects
            between.open()
            await working.knows(await server.objects(PODS))
            assert Delete("Pod", "shop/goes") in working.recorder.events
            assert working.reflector.status().lists == 1  # it went on where it was


async def test_a_dead_network_is_noticed_by_its_silence(serve: Serve, tmp_path: Path) -> None:
    async with serve() as server, valve(server.access, tmp_path) as between:
        await server.put(PODS, pod("first"))
        async with scene(between.access, "Pod", timeouts=Timeouts(read=2.0)) as working:
            await working.synced()
            between.freeze()
            await server.put(PODS, pod("unheard"))
            await working.restarted("silent")
            await working.knows(await server.objects(PODS))
