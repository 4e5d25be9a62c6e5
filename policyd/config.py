"""Settings of the agent: one model, filled from a file, the environment and flags, in that order.

The only reader of configuration. Knows for each value where it came from, so that `policyd config show
--origin` can say.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from policyd.errors import BadFlags, BadInput, Diagnostic
from policyd_compiler.options import (
    TABLE,
    Deny,
    Hairpin,
    IstioAmbient,
    NodeEgress,
    Options,
    PodTunnels,
    interface_mistake,
    table_mistake,
)

PREFIX = "POLICYD_"
#: What Kubernetes puts into a container's environment for a Service called `policyd…`.
_OF_SERVICES = re.compile(
    r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$"
)
#: Variables that are no settings.
_OTHERS = frozenset({PREFIX + "CONFIG", PREFIX + "DEBUG"})

#: Other engines of NetworkPolicy that policyd knows by what they leave on a node (policyd/node/facts.py).
Engine: TypeAlias = Literal["Calico", "kube-router", "kube-network-policies", "kindnet", "weave-npc"]

#: Where the pods of a node are judged.
Placement: TypeAlias = Literal["host", "pod", "auto"]

#: Prints a wrong value in part: a few lines of YAML can mean more than memory holds.
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 2, 80, 80


def _split(value: object) -> object:
    """Lists are comma-separated text in the environment and in flags."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_address(value: str) -> str:
    _, colon, port = value.rpartition(":")
    if value and not (colon and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise PydanticCustomError("address", "must be HOST:PORT, as 127.0.0.1:9471, or empty")
    return value


def _check_table(value: str) -> str:
    return _checked("table", value, table_mistake(value))


def _check_interfaces(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_checked("interface", name, interface_mistake(name)) for name in names)


def _check_ranges(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError as error:
            raise PydanticCustomError("range", "{mistake}", {"mistake": f"{error}"}) from None
    return values


def _checked(kind: str, value: str, mistake: str | None) -> str:
    if mistake is not None:
        # As a value, for its braces would mean something in the sentence itself.
        raise PydanticCustomError(kind, "{mistake}", {"mistake": mistake})
    return value


def _compiled(name: str, **more: Any) -> Any:
    """An option of the compiler as a setting: what it is for and its default are said there."""
    option = Options.__dataclass_fields__[name]
    return Field(option.default, description=option.metadata["help"], **more)


class Settings(BaseModel):
    """How an agent runs. Each field is a key of the file, a variable `POLICYD_FIELD` and a flag `--field`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str = Field("", description="name of this node, as the API server knows it")
    manifests: Path | None = Field(None, description="enforce the manifests of this directory, no API server")
    recursive: bool = Field(default=False, description="read the directory's folders, too")
    kubeconfig: str = Field("", description="path of a kubeconfig; without one, the pod's service account")
    context: str = Field("", description="context of the kubeconfig; without one, the current context")
    table: Annotated[str, AfterValidator(_check_table)] = _compiled(
        "table", json_schema_extra={"pattern": TABLE}
    )
    pod_interfaces: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_interfaces)] = (
        _compiled("pod_interfaces")
    )
    other_engines: Annotated[tuple[Engine, ...], BeforeValidator(_split)] = Field(
        (), description="policy engines that are here on purpose, such as Calico: no condition names them"
    )
    node_egress: NodeEgress = _compiled("node_egress")
    hairpin: Hairpin = _compiled("hairpin")
    pod_tunnels: PodTunnels = _compiled("pod_tunnels")
    deny: Deny = _compiled("deny")
    istio_ambient: IstioAmbient = _compiled("istio_ambient")
    policy_budget: int = _compiled("policy_budget", ge=1)
    namespace_budget: int = _compiled("namespace_budget", ge=1)
    compile_seconds: float = Field(
        60.0,
        ge=1.0,
        allow_inf_nan=False,
        description="processor's seconds that one compilation may take before culprits are looked for",
    )
    live_connections: Literal["cut", "keep"] = Field(
        "cut", description="whether a change that denies a live connection ends it"
    )
    backend: Literal["auto", "library", "program"] = Field(
        "auto", description="how nft is reached: libnftables in a worker process, or the nft program"
    )
    placement: Placement = Field(
        "host",
        description="where pods are judged: host, by this node's tables; pod, in each pod's own network "
        "namespace, too, for networks whose packets the node does not see; auto, there where it may not",
    )
    service_ranges: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_ranges)] = (
        Field(
            (),
            description="addresses of Services that kube-proxy rewrites on this node, as 10.96.0.0/12: with "
            "placement pod they are judged by the node alone, where they go to",
        )
    )
    cni_cache: str = Field(
        "",
        description="libcni's results, as /var/lib/cni/results: new pods are known early",
    )
    kubelet_pods: str = Field(
        "",
        description="socket of the kubelet's Pods API, as /var/lib/kubelet/pods-api/pods-api.sock: this "
        "node's pods are known by the kubelet's word, too, also without the API server",
    )
    cni_plugin: Literal["off", "conflist", "copy", "drop-in"] = Field(
        "off",
        description="install policyd-cni, which holds a pod's start until its rules are in force: into the "
        "network's configuration list, into a copy that comes first, or next to it, where libcni 1.3 looks",
    )
    cni_conf_dir: str = Field("/etc/cni/net.d", description="where the runtime's network configurations are")
    cni_bin_dir: str = Field("/opt/cni/bin", description="where the runtime's network plugins are")
    cni_wait: int = Field(
        30, ge=1, le=600, description="seconds for which policyd-cni holds a pod's start before it refuses it"
    )
    cni_unanswered: Literal["refuse", "pass"] = Field(
        "refuse", description="what becomes of a pod that starts while no agent answers policyd-cni"
    )
    state_dir: str = Field(
        "", description="where the last ruleset is kept, to be in force after a reboot; empty for nowhere"
    )
    stall_seconds: float = Field(
        30.0,
        ge=5.0,
        allow_inf_nan=False,
        description="seconds without a beat of the event loop after which the agent exits",
    )
    listen: Annotated[str, AfterValidator(_check_address)] = Field(
        "127.0.0.1:9471", description="address for probes and metrics over HTTP; empty for none"
    )
    run_dir: str = Field(
        "/run/policyd",
        description="directory of the socket TABLE.sock, at which root asks the agent; empty for none",
    )
    verify_interval: float = Field(
        30.0, ge=0.1, allow_inf_nan=False, description="seconds between full verifications of the kernel"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level to log")
    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="auto: for people on a terminal, JSON lines elsewhere"
    )

    def socket(self) -> Path | None:
        """Where root asks the agent; None for nowhere."""
        return Path(self.run_dir, f"{self.table}.sock") if self.run_dir else None

    def places(self) -> Placement:
        """Where pods are judged: in their namespaces, too, if a mesh carries their ports by its own."""
        return "pod" if self.istio_ambient == "translate" else self.placement

    def options(self) -> Options:
        """The part of the settings that decides what is compiled."""
        return Options(**{name: getattr(self, name) for name in Options.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and for each field where its value is from: `default`, a file, a variable or a flag.

    `warnings`: variables that look like settings and are none.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[Diagnostic, ...] = ()

    def place(self, name: str) -> str:
        """Where a person looks for the value of a setting: a flag, a variable, a file."""
        return _place(name, self.origins.get(name, "settings"))


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> LoadedSettings:
    """Read the settings; flags win over variables, variables over the file.

    Raises BadInput, or BadFlags if nothing but flags is wrong.
    """
    path = file or (Path(environment[PREFIX + "CONFIG"]) if environment.get(PREFIX + "CONFIG") else None)
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    layers: list[tuple[Mapping[str, Any], str]] = []
    if path is not None:
        layers.append((_read_file(path), str(path)))
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    layers.append(({known[key]: text for key, text in environment.items() if key in known}, "environment"))
    layers.append(({name: value for name, value in flags.items() if value is not None}, "flag"))
    for layer, origin in layers:
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    try:
        return LoadedSettings(Settings(**values), origins, tuple(_warn(environment, known)))
    except ValidationError as error:
        problems = error.errors()
        kind = BadFlags if all(_origin(problem, origins) == "flag" for problem in problems) else BadInput
        raise kind(tuple(_tell(problem, origins) for problem in problems)) from None


def _warn(environment: Mapping[str, str], known: Collection[str]) -> Iterator[Diagnostic]:
    """Name variables that somebody may have meant as settings: passed over, they leave a default in force."""
    for name in sorted(environment.keys() - known - _OTHERS):
        if name.startswith(PREFIX) and not _OF_SERVICES.search(name):
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            text = f"{name!r} is no setting and means nothing{hint}"
            yield Diagnostic("environment", 0, 0, "warning", text)


#: What PyYAML lets through of what Python's own types raise, as for `!!int x`.
_OF_PYTHON = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, *_OF_PYTHON) as error:
        raise BadInput((Diagnostic(str(path), 0, 0, "error", f"cannot be read: {error}"),)) from error
    if not isinstance(content, dict | None):
        raise BadInput((Diagnostic(str(path), 0, 0, "error", "settings are a mapping of names to values"),))
    return {str(key).replace("-", "_"): value for key, value in (content or {}).items()}


def _tell(problem: Mapping[str, Any], origins: Mapping[str, str]) -> Diagnostic:
    name, origin = _name(problem), _origin(problem, origins)
    if problem["type"] == "extra_forbidden":
        return Diagnostic(origin, 0, 0, "error", f"there is no setting {name}")
    # Of a list the sentence names the culprit.
    end = "" if problem["type"] == "interface" else f", not {_BRIEF.repr(problem['input'])}"
    return Diagnostic(_place(name, origin), 0, 0, "error", f"{name}: {problem['msg']}{end}")


def _name(problem: Mapping[str, Any]) -> str:
    return str(problem["loc"][0]) if problem["loc"] else ""


def _origin(problem: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    return origins.get(_name(problem), "settings")


def _place(name: str, origin: str) -> str:
    return {"environment": PREFIX + name.upper(), "flag": "--" + name.replace("_", "-")}.get(origin, origin)
