"""Configuration, credentials, TLS, proxies and timeouts, by the client library and on real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused
from policyd.watcher.failure import WatchError
from policyd.watcher.transport import (
    DEFAULT_TIMEOUTS,
    SERVICE_ACCOUNT,
    Access,
    Answer,
    Connection,
    InCluster,
    Kubeconfig,
    Timeouts,
    connect,
    find_access,
)
from tests.cluster.certificates import Authority
from tests.watcher import replies
from tests.watcher.emulator import PODS, Cut, Emulator, Hang
from tests.watcher.objects import pod
from tests.watcher.scene import scene
from tests.watcher.server import write_kubeconfig

JSON = "application/json"
WATCH = (("watch", "1"), ("resourceVersion", "21000"))
IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/home/me"}
SERVICE = InCluster("10.96.0.1", "443", SERVICE_ACCOUNT)


@asynccontextmanager
async def connected(
    access: Access, timeouts: Timeouts = DEFAULT_TIMEOUTS, clock: list[float] | None = None
) -> AsyncIterator[Connection]:
    times = clock or [1000.0]
    connection = await connect(access, timeouts, lambda: times[0])
    try:
        yield connection
    finally:
        await connection.close()


async def status_of(connection: Connection, path: str = PODS) -> int:
    """Ask for a list, and read it."""
    async with connection.get(path, (), JSON, 10) as answer:
        assert b"".join([chunk async for chunk in answer.chunks])
        return answer.status


async def failure_of(connection: Connection, seconds: float = 10) -> WatchError:
    try:
        async with connection.get(PODS, WATCH, JSON, seconds) as answer:
            async for _ in answer.chunks:
                pass
    except WatchError as error:
        return error
    raise AssertionError("it did not fail")


def authorizations(emulator: Emulator) -> list[str]:
    return [seen.headers.get("Authorization", "") for seen in emulator.requests]


@pytest.mark.parametrize(
    ("kubeconfig", "context", "environ", "access"),
    [
        (None, None, IN_POD, SERVICE),
        ("mine", None, IN_POD, Kubeconfig("mine")),
        (None, "there", IN_POD, Kubeconfig("/home/me/.kube/config", "there")),
        (None, None, {**IN_POD, "KUBECONFIG": "a:b"}, Kubeconfig("a:b")),
        ("mine", "there", {"KUBECONFIG": "a:b"}, Kubeconfig("mine", "there")),
        (None, None, {"HOME": "/home/me"}, Kubeconfig("/home/me/.kube/config")),
        (
            None,
            None,
            {"HOME": "/home/me", "KUBERNETES_SERVICE_HOST": ""},
            Kubeconfig("/home/me/.kube/config"),
        ),
    ],
)
def test_what_is_asked_for_comes_before_what_is_found(
    kubeconfig: str | None, context: str | None, environ: Mapping[str, str], access: Access
) -> None:
    assert find_access(kubeconfig, context, environ) == access


def test_the_client_library_is_imported_when_it_is_needed() -> None:
    code = (
        "import sys; import policyd.watcher.reflector, policyd.watcher.transport; "
        "print(*sorted({'aiohttp', 'kubernetes_asyncio'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_one_file_knows_the_client_library() -> None:
    room = Path(sys.modules[find_access.__module__].__file__ or "").parent
    assert [path.name for path in sorted(room.glob("*.py")) if "aiohttp" in path.read_text()] == [
        "transport.py"
    ]


# Kubeconfig


async def test_a_context_is_chosen_by_name(tmp_path: Path) -> None:
    file = tmp_path / "config"
    async with Emulator(tokens=frozenset(("secret",))).serve() as emulator:
        write_kubeconfig(file, emulator.url)
        config = json.loads(file.read_text())
        config["users"].append({"name": "stranger", "user": {"token": "wrong"}})
        config["contexts"].append({"name": "there", "context": {"cluster": "c", "user": "stranger"}})
        file.write_text(json.dumps(config))
        for context, status in ((None, 200), ("here", 200), ("there", 401)):
            async with connected(Kubeconfig(str(file), context)) as connection:
                assert await status_of(connection) == status


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no such file"),
        ("", "cannot be read"),
        ("[", "parsing"),
        ("7", "cannot be read"),
        ("{}", "Expected key current-context"),
        ('{"current-context": "x", "contexts": [], "clusters": [], "users": []}', "name x in"),
    ],
)
async def test_a_bad_kubeconfig_is_told_in_a_sentence(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EnvironmentRefused) as caught:
        await connect(Kubeconfig(str(file)))
    assert str(file) in str(caught.value)
    assert told in str(caught.value)


async def test_a_bad_certificate_is_told_in_a_sentence(tmp_path: Path) -> None:
    garbage = tmp_path / "ca.crt"
    garbage.write_text("garbage")
    access = write_kubeconfig(tmp_path / "config", "https://127.0.0.1:1", certificate_authority=str(garbage))
    with pytest.raises(EnvironmentRefused, match="a certificate or key cannot be used"):
        await connect(access)


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    clock = [1000.0]
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url, {"tokenFile": str(token)})
        async with connected(access, clock=clock) as connection:
            await status_of(connection)
            token.write_text("second")
            await status_of(connection)
            clock[0] += 61
            await status_of(connection)
        assert authorizations(emulator) == ["Bearer first", "Bearer first", "Bearer second"]


async def test_a_proxy_is_used(tmp_path: Path) -> None:
    """The emulator plays the proxy: who asks it for a host that does not exist took it for one."""
    async with Emulator().serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", "http://policyd.invalid", proxy_url=emulator.url)
        async with connected(access) as connection:
            assert await status_of(connection) == 200
        assert emulator.requests[0].headers["Host"] == "policyd.invalid"


async def test_a_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator().serve() as emulator:
        monkeypatch.setenv("HTTP_PROXY", emulator.url)
        monkeypatch.setenv("NO_PROXY", "")
        access = write_kubeconfig(tmp_path / "config", "http://policyd.invalid")
        async with connected(access) as connection:
            assert await status_of(connection) == 200


# Exec plugins

PLUGIN = """#!/bin/sh
number=$(($(cat {count} 2>/dev/null || echo 0) + 1)); echo $number >{count}
[ ! -e {broken} ] || {{ echo "no session; log in" >&2; exit 1; }}
echo '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
 "status":{{"token":"token-'$number'","expirationTimestamp":"{expires}"}}}}'
"""


class Plugin:
    """A credential plugin that counts its runs, and fails when told to."""

    def __init__(self, folder: Path, expires: str) -> None:
        self.count = folder / "count"
        self.broken = folder / "broken"
        self.script = folder / "plugin"
        self.script.write_text(PLUGIN.format(count=self.count, broken=self.broken, expires=expires))
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


async def test_refused_credentials_are_read_anew_once(tmp_path: Path) -> None:
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
async def test_what_is_missing_in_a_pod_is_told(tmp_path: Path, missing: str, told: str) -> None:
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


# Sockets


async def test_nobody_listens(tmp_path: Path) -> None:
    async with connected(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")) as connection:
        assert (await failure_of(connection)).reason == "unreachable"


async def test_a_handshake_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connected(write_kubeconfig(tmp_path / "config", url), Timeouts(connect=0.2)) as connection:
            assert (await failure_of(connection)).reason == "unreachable"
        ended.set()


async def test_a_server_that_does_not_answer_is_silent(tmp_path: Path) -> None:
    async with Emulator(faults=[Hang()]).serve() as emulator:
        access = write_kubeconfig(tmp_path / "config", emulator.url)
        async with connected(access, Timeouts(read=0.2)) as connection:
            assert (await failure_of(connection)).reason == "silent"


async def test_a_drip_does_not_go_on_for_ever(tmp_path: Path) -> None:
    async with (
        Emulator().serve() as emulator,
        connected(write_kubeconfig(tmp_path / "config", emulator.url)) as connection,
    ):
        failing = asyncio.create_task(failure_of(connection, seconds=0.5))
        while not failing.done():
            emulator.inject(PODS, b" ")
            await asyncio.sleep(0.01)
        assert (await failing).reason == "overdue"


async def test_what_is_not_http_is_broken(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connected(write_kubeconfig(tmp_path / "config", url)) as connection:
            assert (await failure_of(connection)).reason == "broken"


async def test_a_reset_in_the_middle_is_broken(tmp_path: Path) -> None:
    async with (
        Emulator(faults=[Cut(0, "reset")]).serve() as emulator,
        connected(write_kubeconfig(tmp_path / "config", emulator.url)) as connection,
    ):
        assert (await failure_of(connection)).reason == "broken"


async def test_who_leaves_a_watch_closes_its_connection(tmp_path: Path) -> None:
    async with (
        Emulator().serve() as emulator,
        connected(write_kubeconfig(tmp_path / "config", emulator.url)) as connection,
    ):
        async with connection.get(PODS, WATCH, JSON, 60) as answer:
            assert isinstance(answer, Answer)
            await emulator.until(lambda: emulator.watches(PODS) == 1)
        await emulator.until(lambda: emulator.watches(PODS) == 0)
