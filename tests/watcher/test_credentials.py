"""Credentials that end, are refused, are replaced, or cannot be had: exec plugins and service accounts."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused
from policyd.watcher.failure import WatchError
from policyd.watcher.transport import InCluster, Timeouts, connect
from tests.cluster.certificates import Authority
from tests.watcher import replies
from tests.watcher.connecting import JSON, WATCH, authorizations, connected, status_of
from tests.watcher.emulator import PODS, Emulator
from tests.watcher.objects import pod
from tests.watcher.scene import scene
from tests.watcher.server import write_kubeconfig

PLUGIN = """#!/bin/sh
number=$(($(cat {count} 2>/dev/null || echo 0) + 1)); echo $number >{count}
while [ -e {hangs} ]; do sleep 0.05; done
[ ! -e {broken} ] || {{ echo "no session; log in" >&2; exit 1; }}
echo '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
 "status":{{"token":"token-'$number'","expirationTimestamp":"{expires}"}}}}'
"""


class Plugin:
    """A credential plugin that counts its runs, and fails when told to."""

    def __init__(self, folder: Path, expires: str) -> None:
        self.count = folder / "count"
        self.broken = folder / "broken"
        self.hangs = folder / "hangs"
        self.script = folder / "plugin"
        self.script.write_text(
            PLUGIN.format(count=self.count, broken=self.broken, hangs=self.hangs, expires=expires)
        )
        self.script.chmod(0o755)
        self.user = {
            "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(self.script), "args": []}
        }

    @property
    def runs(self) -> int:
        return int(self.count.read_text())


async def test_a_plugin_runs_again_when_its_credentials_end(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "2020-01-01T00:00:00Z")
    clock = [1000.0]
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, plugin.user)
        async with connected(access, clock=clock) as connection:
            await status_of(connection)
            await status_of(connection)
            clock[0] += 61
            await status_of(connection)
        assert authorizations(emulator) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_plugin_does_not_run_again_as_long_as_its_credentials_last(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "2999-01-01T00:00:00Z")
    clock = [1000.0]
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, plugin.user)
        async with connected(access, clock=clock) as connection:
            for _ in range(5):
                await status_of(connection)
                clock[0] += 61
    assert plugin.runs == 1


async def test_refused_credentials_are_read_again_once(tmp_path: Path) -> None:
    """Without a pause; and only when that does not help does the reflector raise its voice."""
    plugin = Plugin(tmp_path, "2999-01-01T00:00:00Z")
    async with Emulator(tokens=frozenset(("token-2",))).serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, plugin.user)
        async with scene(access, "Pod") as working:
            working.clock[0] += 10  # what was just read would not be read again
            await working.synced()
            assert working.recorder.pauses == []
            assert working.reflector.status().restarts == {"unauthorized": 1}
    assert plugin.runs == 2


async def test_credentials_may_be_refused_again(tmp_path: Path) -> None:
    async with (
        Emulator(tokens=frozenset(("secret",))).serve() as emulator,
        scene(write_kubeconfig(tmp_path / "config", emulator.url), "Pod") as working,
    ):
        await working.synced()
        for number in (2, 3):
            emulator.bookmark(PODS)
            emulator.faults.append(replies.unauthorized())
            emulator.cut(PODS, "end")
            await emulator.until(lambda: emulator.opened[PODS] == number)  # noqa: B023 (it does not outlive the turn)
        assert working.reflector.status().restarts == {"ended": 2, "unauthorized": 2}
        assert working.recorder.pauses == []


async def test_credentials_that_stay_refused_are_loud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Emulator(tokens=frozenset(("other",))).serve() as emulator,
        scene(write_kubeconfig(tmp_path / "config", emulator.url), "Pod") as working,
    ):
        await working.restarted("unauthorized", 4)
        trouble = working.reflector.status().trouble
        assert trouble is not None
        assert trouble.reason == "unauthorized"
        assert working.recorder.pauses[:3] == [0.1, 0.2, 0.4]
        emulator.tokens = frozenset(("secret",))
        await working.synced()
        assert working.reflector.status().trouble is None
    loud = [record for record in caplog.records if record.levelname == "ERROR"]
    assert {record.__dict__["reason"] for record in loud} == {"unauthorized"}


async def test_a_plugin_that_fails_says_why(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "2020-01-01T00:00:00Z")
    clock = [1000.0]
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, plugin.user)
        async with connected(access, clock=clock) as connection:
            plugin.broken.touch()
            clock[0] += 61
            for attempt in (connection.renew(), status_of(connection)):
                with pytest.raises(WatchError, match="no session; log in") as caught:
                    await attempt
                assert caught.value.reason == "unauthorized"
        with pytest.raises(EnvironmentRefused, match="no session; log in"):
            await connect(access)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client library lets go of a plugin only so
async def test_a_plugin_that_hangs_holds_nobody_up_for_ever(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "2020-01-01T00:00:00Z")
    clock = [1000.0]
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, plugin.user)
        async with connected(access, clock=clock) as connection:
            connection._timeouts = Timeouts(credentials=0.3)
            plugin.hangs.touch()
            try:
                clock[0] += 61
                with pytest.raises(WatchError, match=r"no credentials came in 0\.3 s"):
                    await status_of(connection)
                await status_of(connection)  # with those that it has
            finally:
                plugin.hangs.unlink()
                gc.collect()


async def test_new_credentials_do_not_break_the_watches_of_others(tmp_path: Path) -> None:
    clock = [1000.0]
    async with (
        Emulator().serve() as emulator,
        connected(write_kubeconfig(tmp_path / "config", emulator.url), clock=clock) as connection,
        connection.get(PODS, WATCH, JSON, 60) as answer,
    ):
        clock[0] += 10
        await connection.renew()
        await status_of(connection)
        emulator.put(PODS, pod("a"))
        assert b'"ADDED"' in await anext(answer.chunks)


# In a pod


@asynccontextmanager
async def service_account(folder: Path, emulator: Emulator) -> AsyncIterator[InCluster]:
    """An emulator with TLS, and what a kubelet mounts for it."""
    authority = Authority(folder / "pki")
    authority.make()
    authority.sign("server", "/CN=server", addresses=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.file("server.crt"), authority.file("server.key"))
    mounted = folder / "serviceaccount"
    mounted.mkdir()
    (mounted / "ca.crt").write_bytes(authority.file("ca.crt").read_bytes())
    (mounted / "token").write_text("token-1\n")
    async with emulator.serve(context):
        yield InCluster("127.0.0.1", emulator.url.rpartition(":")[2], mounted)


async def test_a_rotated_token_is_picked_up(tmp_path: Path) -> None:
    clock = [1000.0]
    emulator = Emulator()
    async with service_account(tmp_path, emulator) as access, connected(access, clock=clock) as connection:
        await status_of(connection)
        (access.directory / "token").write_text("token-2\n")
        await status_of(connection)
        clock[0] += 61
        await status_of(connection)
    assert authorizations(emulator) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    emulator = Emulator(tokens=frozenset(("token-2",)))
    async with service_account(tmp_path, emulator) as access, scene(access, "Pod") as working:
        working.clock[0] += 10
        (access.directory / "token").write_text("token-2\n")
        await working.synced()
        assert working.recorder.pauses == []


@pytest.mark.parametrize(("missing", "told"), [("token", "token file"), ("ca.crt", "ertificat")])
async def test_what_is_missing_in_a_pod_is_reported(tmp_path: Path, missing: str, told: str) -> None:
    async with service_account(tmp_path, Emulator()) as access:
        (access.directory / missing).unlink()
        with pytest.raises(EnvironmentRefused, match=told):
            await connect(access)


async def test_a_server_of_a_new_authority_is_trusted_once_it_is_known(tmp_path: Path) -> None:
    """Loud until then; and nothing is sent to a server that is not trusted."""
    emulator = Emulator()
    emulator.put(PODS, pod("a"))
    async with service_account(tmp_path, emulator) as access:
        known = (access.directory / "ca.crt").read_bytes()
        stranger = Authority(tmp_path / "stranger")
        stranger.make()
        (access.directory / "ca.crt").write_bytes(stranger.file("ca.crt").read_bytes())
        async with scene(access, "Pod") as working:
            await working.restarted("untrusted", 3)
            assert emulator.requests == []
            assert working.recorder.pauses[:2] == [0.1, 0.2]
            (access.directory / "ca.crt").write_bytes(known)
            working.clock[0] += 10
            await working.synced()
