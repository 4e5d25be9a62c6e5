"""The demonstration: a scene is built, its policies come into force, one of them is edited; each time real
connections are compared with what was expected. Must not know how any of this is done.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from policyd.demo.agent import Agent
from policyd.demo.matrix import Difference, differences, render
from policyd.demo.scene import FAMILIES, Reach, Scene, policy_files, shortly
from policyd.demo.screen import Screen
from policyd.demo.stage import Stage
from policyd.demo.stops import Stopped, Stops
from policyd.errors import EnvironmentRefused, Exit

INTRO = """\
Network namespaces become a node and five pods, with real servers in them. The
agent enforces NetworkPolicies there, and one of them is edited while it runs.
Real connections show each time who reaches whom. Nothing is left in the end."""
LEGEND = """\
  yes: answered over IPv4 and IPv6   v4, v6: over one of them   -: over neither
  demo-node is the pods' own node, which no policy keeps out: it probes them
  Outside of the cluster: dns, and two customers, named by their IPv4 addresses"""
CHANGED = "  *: changed by the edit"
EDIT_SECONDS = 10.0
#: How long one connection is tried while the edit is awaited, which is also how exact the time is.
GLANCE_SECONDS = 0.01
_CONTROLS = 3
_NAMED = 6


def show(scene: Scene, screen: Screen, program: str = "policyd") -> int:
    """Play the scene; the exit code. `program` is what this command line is called, for what to try next."""
    stops = Stops()
    try:
        wrong, complaints = _perform(scene, screen, stops)
        with stops.allowed():
            if wrong:
                _blame(wrong, complaints, screen)
            else:
                _conclude(scene, screen, program)
    except Stopped as stopped:
        screen.clear()
        return 128 + stopped.number  # as shells say it
    return Exit.FINDING if wrong else Exit.OK


def _perform(scene: Scene, screen: Screen, stops: Stops) -> tuple[tuple[Difference, ...], str]:
    """Play, but do not complain of what failed because the signal for us went to our children, too."""
    try:
        return _play(scene, screen, stops)
    except EnvironmentRefused:
        with stops.allowed():
            raise


def _play(scene: Scene, screen: Screen, stops: Stops) -> tuple[tuple[Difference, ...], str]:
    """What was not as expected, and what the agent complained of."""
    with stops.allowed():
        _introduce(scene, screen)
        screen.now("making the node and its pods")
    with ExitStack() as stack:
        stage = stack.enter_context(Stage(scene))
        with stops.allowed():
            _check_ways(scene, stage, screen)
            screen.now("starting the agent")
        agent = stack.enter_context(Agent(stage.node, stage.manifests, scene.node.name))
        with stops.allowed():
            before = _show_policies(scene, stage, agent, screen)
            after = _show_edit(scene, stage, screen, before)
            screen.now("removing everything")
        wrong = differences(scene.expected, before) + differences(scene.expected_after, after)
        return wrong, agent.end()


def _introduce(scene: Scene, screen: Screen) -> None:
    screen.say(f"{INTRO}\n\n{screen.paint('The policies', 'bold')}")
    for path in policy_files(scene.manifests):
        screen.say(_in_short(path, screen))


def _check_ways(scene: Scene, stage: Stage, screen: Screen) -> None:
    """See to it that everything is answered as long as there are no rules. Raises EnvironmentRefused."""
    screen.now(f"trying {_count(scene.expected)} connections without policyd")
    silent = tuple(scene.expected)
    for _ in range(_CONTROLS):  # a packet may be lost while neighbours are looked up
        reach = stage.measure(silent)
        silent = tuple(pair for pair, families in reach.items() if families != set(FAMILIES))
        if not silent:
            break
    else:
        source, target = silent[0]
        raise EnvironmentRefused(
            f"{source} gets no answer from {target} even without policyd: something on this machine keeps "
            "its network namespaces from each other, so the demonstration would show nothing"
        )
    screen.say(f"\nWithout policyd, all {_count(scene.expected)} connections are answered.")


def _show_policies(scene: Scene, stage: Stage, agent: Agent, screen: Screen) -> Reach:
    seconds = agent.wait_until_ready()
    screen.now(f"trying {_count(scene.expected)} connections")
    measured = stage.measure(scene.expected)
    title = screen.paint("With the policies", "bold")
    screen.say(f"\n{title}, in force {seconds:.1f} s after the agent was started\n")
    _show_matrix(scene, screen, scene.expected, measured)
    screen.say(f"\n{LEGEND}")
    return measured


def _show_edit(scene: Scene, stage: Stage, screen: Screen, before: Reach) -> Reach:
    title = screen.paint(f"{scene.edit.name} is saved again", "bold")
    screen.say(f"\n{title} while the agent runs\n{_in_short(scene.edit, screen)}")
    screen.now("waiting for the first connection that changes")
    waited = _edit(scene, stage)
    screen.now(f"trying {_count(scene.expected_after)} connections")
    measured = stage.measure(scene.expected_after)
    if waited is None:
        screen.say(f"\n  No connection had changed after {EDIT_SECONDS:g} s.\n")
    else:
        screen.say(f"\n  The first connection changed {waited * 1000:.0f} ms after the file was saved.\n")
    _show_matrix(scene, screen, scene.expected_after, measured, before)
    screen.say(f"\n{CHANGED}")
    return measured


def _edit(scene: Scene, stage: Stage) -> float | None:
    """Save the edit; the seconds until a connection that it allows is answered, None if none ever is."""
    pair = next(pair for pair, after in scene.expected_after.items() if after > scene.expected[pair])
    stage.save(scene.edit)
    saved = time.monotonic()
    waited = 0.0
    while waited < EDIT_SECONDS:
        reached = stage.measure([pair], GLANCE_SECONDS)[pair]
        waited = time.monotonic() - saved
        if reached == scene.expected_after[pair]:
            return waited
    return None


def _show_matrix(
    scene: Scene, screen: Screen, expected: Reach, measured: Reach, before: Reach | None = None
) -> None:
    sources = [source.name for source in scene.sources]
    targets = [target.label for target in scene.targets]
    screen.say(render(sources, targets, expected, measured, screen.paint, before))
    tried, wrong = _count(expected), len(differences(expected, measured))
    verdict = screen.paint(f"{tried - wrong} of {tried} as expected", "red" if wrong else "green")
    screen.say(f"\n  {verdict}{'; the others are marked with !' if wrong else ''}")


def _conclude(scene: Scene, screen: Screen, program: str) -> None:
    tried = _count(scene.expected) + _count(scene.expected_after)
    screen.say(f"\n{screen.paint(f'All {tried} connections were as expected', 'green')}, and all is removed.")
    screen.say("What was expected is written by hand in policyd/demo/scene.py. Next, try")
    directory = _short_path(scene.manifests)
    for arguments in (f"compile -f {directory} -o summary", f"compile -f {directory}", "run --help"):
        screen.say(f"  {program} {arguments}")


def _blame(wrong: tuple[Difference, ...], complaints: str, screen: Screen) -> None:
    count = "One connection was" if len(wrong) == 1 else f"{len(wrong)} connections were"
    screen.say(f"\n{screen.paint(f'{count} not as expected', 'red')}, marked with ! above")
    for difference in wrong[:_NAMED]:
        screen.say(f"  {difference}")
    if len(wrong) > _NAMED:
        screen.say(f"  and {len(wrong) - _NAMED} more")
    if complaints:
        screen.say("The agent said")
        screen.say("\n".join(f"  {line}" for line in complaints.splitlines()))
    screen.say(
        "This is a bug of policyd, or an unusual machine: please report it, with all of the text above."
    )


def _in_short(manifest: Path, screen: Screen) -> str:
    return f"  {screen.paint(f'{manifest.stem:12}', 'bold')}  {shortly(manifest)}"


def _short_path(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _count(reach: Reach) -> int:
    return len(reach) * len(FAMILIES)
