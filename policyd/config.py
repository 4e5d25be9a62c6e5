"""Settings of the agent: one model, filled from a file, the environment and flags, in that order.

The only reader of configuration. Knows for each value where it came from, so that `policyd config show
--origin` can tell.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from policyd.errors import BadInput, Diagnostic
from policyd_compiler.options import Options

PREFIX = "POLICYD_"
#: What nft takes as a table's name, without what is awkward in a shell.
TABLE = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"

#: Other engines of NetworkPolicy that policyd knows by what they leave on a node (policyd/node/facts.py).
Engine: TypeAlias = Literal["Calico", "kube-router", "kube-network-policies", "kindnet", "weave-npc"]

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


class Settings(BaseModel):
    """How an agent runs. Each field is a key of the file, a variable `POLICYD_FIELD` and a flag `--field`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str = Field("", description="name of this node, as the API server knows it")
    manifests: Path | None = Field(None, description="enforce the manifests of this directory, no API server")
    recursive: bool = Field(default=False, description="read the directory's folders, too")
    kubeconfig: str = Field("", description="path of a kubeconfig; without one, the pod's service account")
    context: str = Field("", description="context of the kubeconfig; without one, the current context")
    table: str = Field("policyd", pattern=TABLE, description="nft table")
    pod_interfaces: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        (), description="interfaces of pods, such as cni0 or veth*: unknown pods behind them are closed"
    )
    node_egress: Literal["enforce", "exempt"] = Field(
        "enforce", description="whether egress policies judge traffic of a pod to its own node"
    )
    hairpin: Literal["allow", "evaluate"] = Field(
        "allow", description="whether policies judge a pod that reaches itself through its Service"
    )
    deny: Literal["drop", "reject"] = Field(
        "drop", description="how packets are denied; reject is for debugging"
    )
    other_engines: Annotated[tuple[Engine, ...], BeforeValidator(_split)] = Field(
        (), description="policy engines that are here on purpose, such as Calico: no condition names them"
    )
    live_connections: Literal["cut", "keep"] = Field(
        "cut", description="whether a change that denies a live connection ends it"
    )
    backend: Literal["auto", "library", "program"] = Field(
        "auto", description="how nft is reached: libnftables in a worker process, or the nft program"
    )
    cni_cache: str = Field(
        "", description="libcni's results, as /var/lib/cni/results: new pods are known before the API tells"
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
        "127.0.0.1:9471", description="address of the HTTP server; empty for none"
    )
    verify_interval: float = Field(
        30.0, ge=0.1, allow_inf_nan=False, description="seconds between full verifications of the kernel"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level to log")
    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="auto: for people on a terminal, JSON lines elsewhere"
    )

    def options(self) -> Options:
        """The part of the settings that decides what is compiled."""
        return Options(self.table, self.pod_interfaces, self.node_egress, self.hairpin, self.deny)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each field where its value is from: `default`, a file, a variable or a flag."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> Loaded:
    """Read the settings; flags win over variables, variables over the file. Raises BadInput."""
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
        return Loaded(Settings(**values), origins)
    except ValidationError as error:
        raise BadInput(tuple(_tell(problem, origins) for problem in error.errors())) from None


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
    name = str(problem["loc"][0]) if problem["loc"] else ""
    origin = origins.get(name, "settings")
    if problem["type"] == "extra_forbidden":
        return Diagnostic(origin, 0, 0, "error", f"there is no setting {name}")
    place = {"environment": PREFIX + name.upper(), "flag": "--" + name.replace("_", "-")}.get(origin, origin)
    return Diagnostic(place, 0, 0, "error", f"{name}: {problem['msg']}, not {_BRIEF.repr(problem['input'])}")
