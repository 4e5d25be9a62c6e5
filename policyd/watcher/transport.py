"""The seam to the client library: raw bytes of lists and watches, whatever carries them.

kubernetes-asyncio finds the server, reads credentials, sets up TLS and proxies, and holds the HTTP session.
Its Watch and its models are not used. It is imported when a connection is made, and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, assert_never
from urllib.parse import urlsplit

import yaml

from policyd.errors import EnvironmentRefused
from policyd.watcher.failure import WatchError
from policyd.watcher.library import import_client
from policyd.watcher.resource import Query

if TYPE_CHECKING:
    import aiohttp
    from kubernetes_asyncio.client import ApiClient, Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: Tokens of service accounts are replaced on disk long before they end; exec plugins say when theirs do.
CREDENTIAL_SECONDS = 60.0
#: Four reflectors may be refused at once, but to read credentials may cost a person a second factor.
RENEWAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body is still to come. `retry_after` is in seconds."""

    status: int
    retry_after: float | None
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """What a reflector needs of a client library."""

    def get(
        self, path: str, query: Query, accept: str, seconds: float
    ) -> AbstractAsyncContextManager[Answer]:
        """Ask, for at most so many seconds in all. WatchError, here or from the chunks, if that fails."""
        ...

    async def renew(self) -> None:
        """Read the credentials again, as the server did not like them; WatchError if there are none."""
        ...


@dataclass(frozen=True, slots=True)
class InCluster:
    """The service account of the pod that we are."""

    host: str
    port: str
    directory: Path = SERVICE_ACCOUNT


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One file, or several as in $KUBECONFIG; `context` None is the current one."""

    files: str
    context: str | None = None


Access: TypeAlias = InCluster | Kubeconfig

#: What the library raises about files of an odd shape, for which it has no words.
_MALFORMED_ERRORS = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. Bookmarks come every 60 s, so a connection on which nothing comes for longer is dead.

    `credentials` is what an exec plugin may take, which may ask a person to log in.
    """

    connect: float = 10.0
    read: float = 70.0
    credentials: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()


def find_access(kubeconfig: str | None, context: str | None, environ: Mapping[str, str]) -> Access:
    """What was asked for; else $KUBECONFIG; else the service account, in a pod; else ~/.kube/config."""
    files = kubeconfig or environ.get("KUBECONFIG")
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not files and not context and host and port:
        return InCluster(host, port)
    return Kubeconfig(files or str(Path(environ.get("HOME", "/")) / ".kube" / "config"), context)


async def connect(
    access: Access, timeouts: Timeouts = DEFAULT_TIMEOUTS, clock: Callable[[], float] = time.monotonic
) -> Connection:
    """Make a connection; EnvironmentRefused if there is no usable configuration. No request is made yet."""
    return Connection(access, timeouts, clock, await _open(access, timeouts, clock()))


class Connection:
    """A Transport by kubernetes-asyncio. Several reflectors may share it."""

    def __init__(
        self, access: Access, timeouts: Timeouts, clock: Callable[[], float], session: _Session
    ) -> None:
        self._access = access
        self._timeouts = timeouts
        self._clock = clock
        self._session = session

    @asynccontextmanager
    async def get(self, path: str, query: Query, accept: str, seconds: float) -> AsyncIterator[Answer]:
        """See Transport."""
        async with self._ask("GET", path, {"Accept": accept}, seconds, query=query) as response:
            retry_after = _seconds(response.headers.get("Retry-After"))
            yield Answer(response.status, retry_after, _Chunks(response))

    async def send(
        self, method: Literal["POST", "PATCH"], path: str, body: Mapping[str, object], seconds: float
    ) -> tuple[int, bytes]:
        """Create an object, or merge a patch into one: the answer's status and body, or WatchError."""
        form = "application/json" if method == "POST" else "application/merge-patch+json"
        headers = {"Accept": "application/json", "Content-Type": form}
        async with self._ask(method, path, headers, seconds, body=body) as response:
            return response.status, b"".join([chunk async for chunk in _Chunks(response)])

    async def renew(self) -> None:
        """See Transport. Also reads certificates again: the server's authorities and our own."""
        now = self._clock()
        if now - self._session.read_at < RENEWAL_SECONDS:
            return
        try:
            session = await _open(self._access, self._timeouts, now)
        except EnvironmentRefused as error:
            raise WatchError("unauthorized", str(error)) from error
        old, self._session = self._session, session
        old.retired = True  # watches of other kinds may still run on it
        await old.close_if_unused()

    async def close(self) -> None:
        """Close the session; the reflectors that use it must have ended."""
        self._session.retired = True
        await self._session.client.close()

    async def _refresh(self, session: _Session) -> None:
        """Read what credentials may have become since, but not with every request."""
        now = self._clock()
        if now - session.read_at < CREDENTIAL_SECONDS:
            return
        session.read_at = now
        try:
            await _load(session.source, session.client.configuration, self._timeouts)
        except EnvironmentRefused as error:
            raise WatchError("unauthorized", str(error)) from error

    @asynccontextmanager
    async def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        seconds: float,
        *,
        query: Query = (),
        body: Mapping[str, object] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._session
        session.users += 1
        try:
            await self._refresh(session)
            with _explained():
                response: aiohttp.ClientResponse = await session.client.call_api(
                    path,
                    method,
                    query_params=list(query),
                    header_params=dict(headers),
                    body=body,
                    auth_settings=["BearerToken"],
                    _preload_content=False,
                    _request_timeout=self._limits(seconds),
                )
            try:
                yield response
            finally:
                _leave(response)
        finally:
            session.users -= 1
            await session.close_if_unused()

    def _limits(self, seconds: float) -> aiohttp.ClientTimeout:
        from aiohttp import ClientTimeout  # noqa: PLC0415 (see the module)

        return ClientTimeout(
            total=seconds, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read
        )


@dataclass(slots=True, eq=False)
class _Session:
    """A client, where its credentials come from, when they were read, and how many responses it carries."""

    client: ApiClient
    source: _Source
    read_at: float
    users: int = 0
    retired: bool = False

    async def close_if_unused(self) -> None:
        if self.retired and self.users == 0:
            await self.client.close()


class _Chunks:
    """The body of a response as it comes; its errors as ours."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        with _explained():
            chunk = await self._content.readany()
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Source(Protocol):
    """Where a configuration comes from. To read it again brings what has become of the credentials."""

    async def load(self, configuration: Configuration) -> None: ...

    def __str__(self) -> str: ...


class _ServiceAccount:
    def __init__(self, access: InCluster) -> None:
        self._access = access

    async def load(self, configuration: Configuration) -> None:
        from kubernetes_asyncio.config import load_incluster_config  # noqa: PLC0415 (see the module)

        load_incluster_config(  # type: ignore[no-untyped-call]  # the library has no types for it
            configuration,
            try_refresh_token=False,  # that is our business, and so are its errors
            token_filename=str(self._access.directory / "token"),
            cert_filename=str(self._access.directory / "ca.crt"),
            environ={
                "KUBERNETES_SERVICE_HOST": self._access.host,
                "KUBERNETES_SERVICE_PORT": self._access.port,
            },
        )
        # The library keeps a newline at the end of the file, which a header cannot hold.
        configuration.api_key["BearerToken"] = configuration.api_key["BearerToken"].strip()

    def __str__(self) -> str:
        return f"the service account in {self._access.directory}"


class _Files:
    def __init__(self, access: Kubeconfig) -> None:
        self._access = access
        self._loader: KubeConfigLoader | None = None

    async def load(self, configuration: Configuration) -> None:
        from kubernetes_asyncio.config import load_kube_config  # noqa: PLC0415 (see the module)

        if self._loader is not None:
            # Runs an exec plugin only if its last credentials are about to end, and reads token files.
            await self._loader.load_and_set(configuration)
            return
        if not any(map(os.path.exists, self._access.files.split(os.pathsep))):
            raise FileNotFoundError("there is no such file; name one that there is with --kubeconfig")
        self._loader = await load_kube_config(
            self._access.files, self._access.context, configuration, persist_config=False
        )

    def __str__(self) -> str:
        context = f", context {self._access.context}" if self._access.context else ""
        return f"the kubeconfig {self._access.files}{context}"


def _source(access: Access) -> _Source:
    match access:
        case InCluster():
            return _ServiceAccount(access)
        case Kubeconfig():
            return _Files(access)
        case _:
            assert_never(access)


async def _open(access: Access, timeouts: Timeouts, now: float) -> _Session:
    ApiClient, Configuration = import_client()  # noqa: N806 classes

    source = _source(access)
    configuration = Configuration()
    # Authorities of many clusters lack extensions that Python from 3.13 on insists on and Go does not, among
    # them EKS's (kubernetes-client/python#2394). Signatures, dates and names are verified as ever.
    configuration.disable_strict_ssl_verification = True
    await _load(source, configuration, timeouts)
    url = urlsplit(configuration.host)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise EnvironmentRefused(f"{source}: {configuration.host!r} is not the URL of an API server")
    try:
        client = ApiClient(configuration)
    except OSError as error:  # certificates and keys are read here; ssl.SSLError is an OSError
        raise EnvironmentRefused(f"{source}: a certificate or key cannot be used: {error}") from error
    client.user_agent = "policyd"
    return _Session(client, source, now)


async def _load(source: _Source, configuration: Configuration, timeouts: Timeouts) -> None:
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415 (see the module)

    try:
        async with asyncio.timeout(timeouts.credentials):
            await source.load(configuration)
    except TimeoutError as error:
        raise EnvironmentRefused(f"{source}: no credentials came in {timeouts.credentials:g} s") from error
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise EnvironmentRefused(f"{source}: {error}") from error
    except _MALFORMED_ERRORS as error:
        raise EnvironmentRefused(f"{source} cannot be read: {type(error).__name__} {error}") from error


def _leave(response: aiohttp.ClientResponse) -> None:
    """Be done with a response. If it was read to its end, its connection already serves others."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        # To take leave as TLS has it would mean to wait for the answer of a peer that may be long gone.
        connection.transport.abort()
    response.close()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    from aiohttp import ClientError  # noqa: PLC0415 (see the module)

    try:
        yield
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        raise _failure(error) from error


def _failure(error: Exception) -> WatchError:
    """What an exception of the library means."""
    import aiohttp  # noqa: PLC0415 (see the module)

    text = str(error) or type(error).__name__
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return WatchError("untrusted", text)
        case aiohttp.SocketTimeoutError():
            return WatchError("silent", "nothing came for longer than bookmarks are apart")
        case aiohttp.ClientConnectorError(host=host, port=port, os_error=cause):
            # The library's own text speaks of SSL where there is none, and of addresses twice.
            number = cause.errno or 0
            why = os.strerror(number) if number > 0 else cause.strerror or str(cause)
            return WatchError("unreachable", f"cannot connect to {host} port {port}: {why.lower()}")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientHttpProxyError():
            return WatchError("unreachable", text)
        case TimeoutError():
            return WatchError("overdue", "the response did not end in time")
        case _:
            return WatchError("broken", text)


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds. Its other form, a date, would need a clock that agrees with the server's."""
    return float(header) if header is not None and header.isascii() and header.isdecimal() else None
