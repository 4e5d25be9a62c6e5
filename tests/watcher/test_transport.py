"""Configuration, credentials, TLS, proxies and timeouts, by the client library and on real sockets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused
from policyd.watcher.transport import (
    SERVICE_ACCOUNT,
    Access,
    Answer,
    InCluster,
    Kubeconfig,
    Timeouts,
    connect,
    find_access,
)
from tests.watcher.connecting import JSON, WATCH, authorizations, connected, failure_of, status_of
from tests.watcher.emulator import PODS, Cut, Emulator, Hang
from tests.watcher.server import write_kubeconfig

IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/users/me"}
SERVICE = InCluster("10.96.0.1", "443", SERVICE_ACCOUNT)


@pytest.mark.parametrize(
    ("kubeconfig", "context", "environ", "access"),
    [
        (None, None, IN_POD, SERVICE),
        ("mine", None, IN_POD, Kubeconfig("mine")),
        (None, "there", IN_POD, Kubeconfig("/users/me/.kube/config", "there")),
        (None, None, {**IN_POD, "KUBECONFIG": "a:b"}, Kubeconfig("a:b")),
        ("mine", "there", {"KUBECONFIG": "a:b"}, Kubeconfig("mine", "there")),
        (None, None, {"HOME": "/users/me"}, Kubeconfig("/users/me/.kube/config")),
        (
            None,
            None,
            {"HOME": "/users/me", "KUBERNETES_SERVICE_HOST": ""},
            Kubeconfig("/users/me/.kube/config"),
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


def test_a_connection_costs_no_models(tmp_path: Path) -> None:
    """They would be a third of the agent's memory, and nobody reads an object with them."""
    code = (
        "import asyncio, sys; from policyd.watcher.transport import Kubeconfig, connect; "
        "asyncio.run(connect(Kubeconfig(sys.argv[1]))); "
        "print(sum(name.startswith('kubernetes_asyncio.client.') for name in sys.modules))"
    )
    access = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    result = subprocess.run(
        [sys.executable, "-c", code, access.files], capture_output=True, text=True, check=True
    )
    assert 0 < int(result.stdout) < 10


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
        ('{"a":' * 5000, "cannot be read"),
    ],
)
async def test_a_bad_kubeconfig_is_reported_in_a_sentence(
    tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EnvironmentRefused) as caught:
        await connect(Kubeconfig(str(file)))
    assert str(file) in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("url", ["", "127.0.0.1:6443", "https://", "ftp://host", "not a url"])
async def test_a_server_that_is_no_url_is_reported_in_a_sentence(tmp_path: Path, url: str) -> None:
    access = write_kubeconfig(tmp_path / "config", url)
    with pytest.raises(EnvironmentRefused, match="is not the URL of an API server"):
        await connect(access)


async def test_a_bad_certificate_is_reported_in_a_sentence(tmp_path: Path) -> None:
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
