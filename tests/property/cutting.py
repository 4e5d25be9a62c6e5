"""What is cut for pods' own namespaces: on which node, with which options, for which pods."""

from __future__ import annotations

from hypothesis import strategies as st

from policyd.pipeline import Build
from policyd_compiler.for_pod import Address
from policyd_compiler.nft.keys import FAMILIES
from policyd_compiler.options import Options

NODE = "n1"
OPTIONS = st.builds(
    Options,
    node_egress=st.sampled_from(["enforce", "exempt"]),
    deny=st.sampled_from(["drop", "reject"]),
    istio_ambient=st.sampled_from(["strict", "translate"]),
)


def local_pods(built: Build) -> list[tuple[Address, ...]]:
    """The addresses of the node's pods, as the ruleset has them."""
    return [
        tuple(Address(f, a) for f in FAMILIES if (a := endpoint.host.address(f)) is not None)
        for endpoint in built.snapshot.endpoints
    ]
