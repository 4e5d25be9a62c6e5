"""`python -m tests.corpus CHECKOUT`: what netpol-analyzer says of its test folders, beside what policyd does.

CHECKOUT is a clone of np-guard/netpol-analyzer; nothing of it is in this repository. AdminNetworkPolicies are
converted first. Folders that use other APIs are passed over, and those of which no answer is recorded;
docs/questions.md has the outcome.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from policyd.ask.endpoints import SHORT

FOREIGN = re.compile(r'"?kind"?: *"?(\w*UserDefinedNetwork|VirtualMachine|Route|Network\w+Definition)\b')
ENDPOINT = re.compile(r"(.+?)/(.+)\[(\w+)\]")
LINE = re.compile(r"(.+?) => (.+?) : (.+)")
PORTS = re.compile(r"(TCP|UDP|SCTP) ([0-9,-]+)")
EVERYTHING = dict.fromkeys(("TCP", "UDP", "SCTP"), "1-65535")
#: Ports by protocol.
Ports = dict[str, str]
#: Who sends and who receives → the ports.
Pairs = dict[tuple[str, str], Ports]


def theirs(text: str) -> Pairs:
    """The connections between workloads of a recorded answer."""
    found: Pairs = {}
    for match in map(LINE.fullmatch, map(str.strip, text.splitlines())):
        ends = [ENDPOINT.fullmatch(end) for end in match.group(1, 2)] if match else []
        if match and all(ends) and len(ends) == 2:
            sender, receiver = (name_of(*end.groups()) for end in ends if end)
            ports = {name: numbers.rstrip(",") for name, numbers in PORTS.findall(match[3])}
            found[sender, receiver] = dict(EVERYTHING) if match[3] == "All Connections" else ports
    return found


def name_of(namespace: str, name: str, kind: str) -> str:
    return f"{namespace}/{SHORT.get(kind, kind)}/{name}"


def owners(folder: Path) -> dict[str, str]:
    """Pods by id → the workload that their first owner reference names: theirs, also if it is not given."""
    found = {}
    for raw in objects(folder):
        metadata = raw.get("metadata") or {}
        references = metadata.get("ownerReferences") or []
        if "containers" in (raw.get("spec") or {}) and references and "kind" in references[0]:
            namespace = metadata.get("namespace", "default")
            found[f"{namespace}/pod/{metadata['name']}"] = name_of(
                namespace, references[0]["name"], references[0]["kind"]
            )
    return found


def objects(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json"):
            try:
                waiting = [each for each in yaml.safe_load_all(path.read_text()) if isinstance(each, dict)]
            except (yaml.YAMLError, UnicodeDecodeError):
                continue
            while waiting:
                raw = waiting.pop()
                items = raw.get("items")
                if isinstance(items, list):
                    waiting.extend(each for each in items if isinstance(each, dict))
                else:
                    yield raw


def ours(answer: dict[str, Any], owned: dict[str, str]) -> tuple[Pairs, set[str]]:
    """Our connections between their workloads; and the names that both know."""
    members: dict[str, list[str]] = defaultdict(list)
    for endpoint in answer["endpoints"]:
        members[owned.get(endpoint["id"], endpoint["id"])].append(endpoint["id"])
    said: Pairs = {}
    for each in answer["connections"]:
        ports = {name: numbers for name, numbers in each["allowed"].items() if name != "other"}
        said[each["from"], each["to"]] = {**ports, **({"unknown": ""} if each.get("unknown") else {})}
    found: Pairs = {}
    for sender, sending in members.items():
        for receiver, receiving in members.items():
            every = [said.get((one, other), {}) for one in sending for other in receiving]
            if sender != receiver and any(every):
                alike = all(each == every[0] for each in every)
                found[sender, receiver] = every[0] if alike else {"differs between the pods": ""}
    return found, set(members)


def policyd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "policyd", *arguments], capture_output=True, text=True, check=False
    )


def judge(folder: Path, recorded: Path) -> str:
    """The outcome for one folder, in a few words."""
    text = "".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*")) if path.is_file())
    if FOREIGN.search(text):
        return "another API"
    if not recorded.is_file():
        return "no answer recorded"
    with TemporaryDirectory() as place:
        converted = Path(place) / "converted.yaml"
        command = ["reach", "-R", "-f", str(folder), "-o", "json", "--unknown-fields", "warn"]
        if "AdminNetworkPolicy" in text:
            done = policyd("convert", "-R", "-f", str(folder))
            if done.returncode:
                return f"not converted: {done.stderr.splitlines()[0]}"
            converted.write_text(done.stdout)
            command += ["--with", str(converted)]
        done = policyd(*command)
    if done.returncode:
        return f"refused: {done.stderr.splitlines()[0].removeprefix(f'{folder}/')}"
    found, known = ours(json.loads(done.stdout), owners(folder))
    wanted = {pair: ports for pair, ports in theirs(recorded.read_text()).items() if known.issuperset(pair)}
    wrong = [pair for pair in sorted({*found, *wanted}) if found.get(pair) != wanted.get(pair)]
    if not wrong:
        return "the same"
    return "differs: " + "; ".join(f"{' → '.join(p)} {found.get(p)} / {wanted.get(p)}" for p in wrong[:3])


def main(checkout: str) -> None:
    """Print what differs, and how many folders came out how."""
    root = Path(checkout)
    counts: Counter[str] = Counter()
    for folder in sorted(path for path in (root / "tests").iterdir() if path.is_dir()):
        outcome = judge(folder, root / "test_outputs" / "connlist" / f"{folder.name}_connlist_output.txt")
        kind, colon, _ = outcome.partition(":")
        counts[kind] += 1
        if colon:
            sys.stdout.write(f"{folder.name}: {outcome}\n")
    sys.stdout.write(", ".join(f"{kind}: {count}" for kind, count in counts.most_common()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
