"""All that a ruleset is made of, from a seed: a cluster, a node, its links, and settings."""

from __future__ import annotations

import random
from dataclasses import replace

from policyd.cluster.state import ClusterState
from policyd_compiler.options import Options
from tests.routes import state_of
from tests.strategies.attachments import attach_randomly
from tests.strategies.chooser import RandomChooser
from tests.strategies.worlds import random_world

NODES = ("n1", "n2", "n3")


def any_scene(rng: random.Random) -> tuple[ClusterState, str, Options]:
    """Choose a cluster, a node of it, what is known of its links, and settings."""
    world, node = random_world(rng), rng.choice(NODES)
    state = state_of(world, live=rng.random() < 0.5)
    if rng.random() < 0.6:
        state = replace(state, attachments=attach_randomly(RandomChooser(rng), world, node))
    options = Options(
        pod_interfaces=rng.choice(((), (), ("cni0", "veth*"), ("cali*", "cni0", "vethx"))),
        node_egress=rng.choice(("enforce", "exempt")),
        hairpin=rng.choice(("allow", "evaluate")),
        deny=rng.choice(("drop", "reject")),
        pod_tunnels=rng.choice(("drop", "allow")),
        istio_ambient=rng.choice(("strict", "strict", "translate")),
    )
    return state, node, options
