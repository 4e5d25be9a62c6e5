"""What a maintainer needs to replay a node's state: gathered from the agent, the kernel and the node itself.

Holds no credentials: objects are slimmed to what decides verdicts, settings name files and hold none of them.
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
import tarfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from policyd.agent_api import AgentState
from policyd.applier.choose import open_backend
from policyd.applier.listing import FAMILIES
from policyd.cluster.anonymise import anonymise
from policyd.cluster.state import ClusterState
from policyd.config import Settings
from policyd.doctor.agent_client import NoAnswer, ask, ask_state
from policyd.doctor.examination import examine
from policyd.doctor.node_lines import print_json, print_lines
from policyd.doctor.status_lines import lines
from policyd.errors import EnvironmentRefused
from policyd.kube.encode import encode_list
from policyd.manifests.load import load_manifest
from policyd.saved_state import BadState, load_state, state_file
from policyd.version import VERSION
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.options import Options

#: File → the path at which the agent has it.
ANSWERS = {
    "state.json": "/debug/state",
    "objects.json": "/debug/objects",
    "attachments.json": "/debug/attachments",
    "ruleset.nft": "/debug/ruleset",
    "metrics.txt": "/metrics",
    "ready.txt": "/readyz",
    "log.jsonl": "/debug/log",
}
#: What is said of each file in the README.
MEANINGS = {
    "state.json": "what the agent says of itself: settings, conditions, what is in force, what it knows",
    "objects.json": "the objects that it knows, slimmed to what decides verdicts",
    "attachments.json": "by which interface each pod of the node is attached to it, as the agent sees it",
    "ruleset.nft": "the ruleset that it has brought into force",
    "metrics.txt": "its metrics",
    "ready.txt": "why it is not ready, if it is not",
    "log.jsonl": "the last lines of its log",
    "kernel.json": "policyd's tables as the kernel has them, and nobody else's",
    "saved.nft": "the ruleset on disk, for after a reboot",
    "doctor.txt": "the examination of the node, as `policyd doctor` prints it",
    "doctor.json": "the same for programs",
    "status.txt": "what `policyd status` prints",
    "settings.json": "the settings with which this was gathered",
}
#: What names nobody: the rest is left out of an anonymous bundle.
ANONYMOUS = ("objects.json", "metrics.txt")


_SAME = """\
These are the bytes of `ruleset.nft`. Only where an agent reads the files of a directory do comments there
say more: where a rule was written. Policies that are quarantined are named in `state.json`; in the ruleset
they allow nothing."""
_RENAMED = "Names are not the cluster's own; addresses are. Which nodes there are is in `rulesets` then."


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by name, and why others are missing."""

    files: Mapping[str, bytes]
    missing: tuple[str, ...]


async def gather(settings: Settings) -> Bundle:
    """Ask everybody. Who does not answer is missing, and the rest is gathered nevertheless."""
    files: dict[str, bytes] = {"settings.json": _json(settings.model_dump(mode="json"))}
    missing: list[str] = []
    for name, path in ANSWERS.items():
        body = await ask(settings.socket(), path)
        if isinstance(body, NoAnswer):
            missing.append(f"{name}: {body.text}")
        else:
            files[name] = body
    try:
        files["kernel.json"] = await _kernel(settings)
    except EnvironmentRefused as error:
        missing.append(f"kernel.json: {error}")
    if settings.state_dir and settings.node:
        try:
            files.update(_saved(settings))
        except BadState as error:
            missing.append(f"saved.nft: {error}")
    found = await examine(settings)
    files["doctor.txt"], files["doctor.json"] = print_lines(found).encode(), print_json(found).encode()
    state = await ask_state(settings.socket())
    if isinstance(state, AgentState):
        files["status.txt"] = "".join(f"{line}\n" for line in lines(state, time.time())).encode()
    return Bundle({**files, "README.md": readme(files, missing, state)}, tuple(missing))


def without_names(bundle: Bundle) -> Bundle:
    """What can be given to anybody: objects under other names, and numbers."""
    files = {name: bundle.files[name] for name in ANONYMOUS if name in bundle.files}
    missing = tuple(text for text in bundle.missing if text.partition(":")[0] in ANONYMOUS)
    if "objects.json" in files:
        objects, _ = load_manifest(files["objects.json"], "objects.json")
        renamed = anonymise(ClusterState.of(objects))
        files["objects.json"] = _json(encode_list(renamed.objects()))
    return Bundle({**files, "README.md": readme(files, missing, NoAnswer(""))}, missing)


def readme(
    files: Mapping[str, bytes], missing: list[str] | tuple[str, ...], state: AgentState | NoAnswer
) -> bytes:
    """What is in the bundle, and the command that compiles its objects as the agent did."""
    out = [f"# A node's state, gathered by policyd {VERSION}", ""]
    out += [f"- `{name}`: {MEANINGS[name]}" for name in files]
    if missing:
        out += ["", "Missing:", "", *(f"- {text}" for text in missing)]
    if "objects.json" in files:
        out += ["", "Replay what the agent compiles, on any machine, without a cluster:", ""]
        out += [f"    {replay(state, files)}", ""]
        out.append(_SAME if "ruleset.nft" in files else _RENAMED)
    return ("\n".join(out) + "\n").encode()


def replay(state: AgentState | NoAnswer, files: Collection[str]) -> str:
    """The command line that compiles `objects.json`, with what else there is, as the agent did."""
    if isinstance(state, NoAnswer):
        return "policyd compile -f objects.json --no-sources --all-nodes --output-dir rulesets"
    words = ["policyd", "compile", "-f", "objects.json", "--no-sources"]
    if "attachments.json" in files:
        words += ["--attachments", "attachments.json"]
    for name in ("node", *(option.name for option in fields(Options))):
        value = state.settings.get(name)
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value or "")
        if text:
            words += [f"--{name.replace('_', '-')}", text]
    if not state.settings.get("manifests"):
        words += ["--missing-namespaces", "unknown"]
    if state.enforced is not None:
        words += ["--generation", str(state.enforced.generation)]
    return shlex.join(words)


def pack(bundle: Bundle, folder: str, now: float) -> bytes:
    """The bundle as a compressed archive; its files lie in one folder."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=int(now)) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in sorted(bundle.files.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = len(content), int(now), 0o600
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _saved(settings: Settings) -> dict[str, bytes]:
    """The ruleset on disk, if there is one; what is no ruleset of ours is not passed on. Raises BadState."""
    found = load_state(state_file(Path(settings.state_dir), settings.table), settings.node, settings.table)
    return (
        {} if found is None else {"saved.nft": print_replace(stamp(found.table, found.generation)).encode()}
    )


async def _kernel(settings: Settings) -> bytes:
    nft = await open_backend(settings.backend)
    try:
        texts = [await nft.list_table(settings.table, family) for family in FAMILIES]
    finally:
        await nft.close()
    try:
        listings = [json.loads(text)["nftables"] for text in texts if text is not None]
    except (ValueError, LookupError) as error:  # nft 1.0.6 lists what it does not know as half a text
        raise EnvironmentRefused(f"what nft lists of {settings.table} is no JSON: {error}") from error
    if not listings:
        raise EnvironmentRefused(f"there is no table inet {settings.table}")
    return _json({"nftables": [item for listing in listings for item in listing]})


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
