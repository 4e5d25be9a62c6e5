"""The recipe of the image: locked, of no registry, for every architecture."""

from __future__ import annotations

import re
import tomllib

from tests.deploy.rendering import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()


def instructions(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in INSTRUCTIONS if line.startswith(f"{word} ")]


def entries(text: str) -> dict[str, str]:
    """Name of a package → its lines in a lock."""
    parts = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)
    return {part.split("==")[0]: part for part in parts if "==" in part}


def test_the_dockerfile_names_no_registry_and_no_moving_tag() -> None:
    images = [line.split()[0] for line in instructions("FROM")]
    assert images == ["${BASE}", "scratch"]
    (base,) = (line for line in instructions("ARG") if line.startswith("BASE="))
    assert re.fullmatch(r"BASE=debian:[a-z]+-slim", base)
    assert "latest" not in DOCKERFILE


def test_the_dockerfile_is_for_every_architecture() -> None:
    assert re.findall(r"amd64|arm64|x86_64|aarch64|linux-gnu", "\n".join(INSTRUCTIONS)) == []


def test_packages_of_the_image_are_locked_with_hashes() -> None:
    installs = [
        part
        for line in instructions("RUN")
        for part in line.split("&&")
        if re.search(r"\b(install|wheel) ", part) and "pip " in part
    ]
    assert len(installs) == 3
    assert [part for part in installs if "--require-hashes" not in part and "--no-deps" not in part] == []
    lock = entries((DEPLOY / "requirements.lock").read_text())
    assert [name for name, part in lock.items() if "--hash=sha256:" not in part] == []


def test_the_lock_of_the_image_is_the_lock_without_the_tools() -> None:
    everything = entries((ROOT / "requirements.lock").read_text())
    image = entries((DEPLOY / "requirements.lock").read_text())
    assert {name: part for name, part in image.items() if everything.get(name) != part} == {}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed, tools = (
        {re.split(r"[^\w-]", line)[0].lower() for line in lines}
        for lines in (
            [*settings["project"]["dependencies"], *settings["project"]["optional-dependencies"]["agent"]],
            settings["dependency-groups"]["dev"],
        )
    )
    assert needed - set(image) == set()
    assert tools & set(image) == set()


def test_the_image_starts_an_isolated_python() -> None:
    (entrypoint,) = instructions("ENTRYPOINT")
    assert entrypoint == '["/opt/policyd/bin/policyd"]'
    assert any("sed -i '1s/$/ -I/' /opt/policyd/bin/policyd" in line for line in instructions("RUN"))


def test_bytecode_is_made_again_and_refers_to_no_times_of_files() -> None:
    (line,) = (line for line in instructions("RUN") if "compileall" in line)
    assert "compileall -qf --invalidation-mode unchecked-hash" in line


def test_the_context_holds_what_is_copied() -> None:
    wanted = {path for line in instructions("COPY") if "--from" not in line for path in line.split()[:-1]}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert wanted == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    script = (ROOT / "scripts" / "image").read_text()
    (listed,) = re.findall(r"git ls-files -z -- (.*) \|", script)
    assert wanted | {"deploy/Dockerfile"} == set(listed.replace("\\*", "*").split())
