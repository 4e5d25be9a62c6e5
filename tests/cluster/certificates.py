"""The certificates and the access files (kubeconfig) of a cluster, made with openssl."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.cluster.failures import ClusterFailed
from tests.cluster.machine import run

CURVE = (
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
)  # RSA keys take seconds, these none


class Authority:
    """A certificate authority in a folder, and what it signed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def make(self) -> None:
        """Make the authority again; what an earlier one signed is worth nothing from then on."""
        self._request("ca", "/CN=policyd-test-cluster", "-x509")

    def make_service_account_key(self) -> None:
        """Make the key that signs the tokens of service accounts."""
        key = str(self.file("sa.key"))
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        _openssl("pkey", "-in", key, "-pubout", "-out", str(self.file("sa.pub")))

    def sign(
        self, name: str, subject: str, *, addresses: tuple[str, ...] = (), hosts: tuple[str, ...] = ()
    ) -> None:
        """Write NAME.crt and NAME.key for a subject that serves under these addresses and host names."""
        names = [*(f"IP:{address}" for address in addresses), *(f"DNS:{host}" for host in hosts)]
        extension = ("-addext", f"subjectAltName={','.join(names)}") if names else ()
        signer = ("-x509", "-CA", str(self.file("ca.crt")), "-CAkey", str(self.file("ca.key")))
        self._request(name, subject, *signer, "-addext", "basicConstraints=CA:FALSE", *extension)

    def write_access(self, name: str, server: str, target: Path | None = None) -> Path:
        """Write the kubeconfig by which the subject NAME reaches a server; it needs no other file."""
        cluster = {"server": server, "certificate-authority-data": self._encoded("ca.crt")}
        user = {
            "client-certificate-data": self._encoded(f"{name}.crt"),
            "client-key-data": self._encoded(f"{name}.key"),
        }
        access = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        target = target or self.file(f"{name}.conf")
        target.write_text(json.dumps(access))  # JSON is YAML
        return target

    def file(self, name: str) -> Path:
        """Give the path of a file in the authority's folder."""
        return self.path / name

    def _encoded(self, name: str) -> str:
        return base64.b64encode(self.file(name).read_bytes()).decode()

    def _request(self, name: str, subject: str, *options: str) -> None:
        files = ("-keyout", str(self.file(f"{name}.key")), "-out", str(self.file(f"{name}.crt")))
        _openssl("req", *CURVE, "-days", "30", "-subj", subject, *files, *options)


def _openssl(*arguments: str) -> None:
    result = run(("openssl", *arguments), seconds=30)
    if result.returncode != 0:
        raise ClusterFailed(f"openssl {arguments[0]} failed: {result.stderr.strip()}")
