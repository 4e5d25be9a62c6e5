"""Times the stages of one compilation and its apply, in this process; prints JSON for `bench.runs`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from bench.scenarios import NODE
from policyd.applier.apply import Applier
from policyd.applier.choose import BackendKind, open_backend
from policyd.cluster.state import ClusterState
from policyd.lab.namespace import Namespace
from policyd.manifests.load import load_manifest
from policyd.pipeline import Build, build
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options


def main(file: Path) -> None:
    """Decode, compile, print and apply what a file holds."""
    text = file.read_bytes()
    times: dict[str, float] = {}
    began = time.perf_counter()
    objects, _ = load_manifest(text, str(file))
    times["decode"] = time.perf_counter() - began
    began = time.perf_counter()
    built = build(ClusterState.of(objects), NODE, Options())
    times["compile"] = time.perf_counter() - began
    counted = {name: getattr(built.stats, name) for name in ("pods", "isolated", "policies", "elements")}
    began = time.perf_counter()
    print_replace(built.table)
    times["print"] = time.perf_counter() - began
    fewer = [item for item in objects if item.name != "policy-0"]
    changed = build(ClusterState.of(fewer), NODE, Options())
    namespace = Namespace("bench")
    try:
        times |= asyncio.run(_apply("library", namespace.path, built, changed))
        times |= asyncio.run(_apply("program", namespace.path, built, changed))
    finally:
        namespace.close()
    json.dump(times | counted, sys.stdout)


async def _apply(backend: BackendKind, path: str, built: Build, changed: Build) -> dict[str, float]:
    nft = await open_backend(backend, path)
    try:
        applier = Applier(nft, "policyd")
        await applier.remove()
        await applier.read_back()
        began = time.perf_counter()
        await applier.apply(built.table)
        first = time.perf_counter() - began
        began = time.perf_counter()
        await applier.apply(changed.table)
        return {f"apply {backend}": first, f"change {backend}": time.perf_counter() - began}
    finally:
        await nft.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
