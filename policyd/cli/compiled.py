"""The rulesets of the nodes of a world that is asked about, each compiled once, as by default. Pure."""

from __future__ import annotations

from policyd.ask.world import World
from policyd.pipeline import Build, build
from policyd_compiler.options import Options
from policyd_compiler.sim import Simulator


class Rulesets:
    """What each node would have in force with the default settings."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._built: dict[str, Build] = {}
        self._simulators: dict[str, Simulator] = {}

    def build(self, node: str) -> Build:
        """The ruleset of a node."""
        if node not in self._built:
            self._built[node] = build(self.world.state, node, Options())
        return self._built[node]

    def simulator(self, node: str) -> Simulator:
        """The same, to walk packets through."""
        if node not in self._simulators:
            self._simulators[node] = Simulator(self.build(node).table)
        return self._simulators[node]
