"""Which connections are to be forgotten, by what is tracked of them alone."""

from __future__ import annotations

from dataclasses import replace

from policyd.agent.revoke import mirrored
from policyd.applier.conntrack import Flow

CLIENT, SERVER = 10 << 24 | 1, 10 << 24 | 2
FORGOTTEN = Flow(4, 6, CLIENT, 40000, SERVER, 80, dnat=False, icmp_type=None, name=b"")
#: What an answer that was on its way opens, once the connection is forgotten.
ANSWER = replace(FORGOTTEN, source=SERVER, source_port=80, destination=CLIENT, port=40000)


def test_the_answering_side_of_a_forgotten_connection_is_forgotten_too() -> None:
    """NP-122: else it would come back with the denied side as the one that answers."""
    others = (
        FORGOTTEN,
        replace(ANSWER, family=6),
        replace(ANSWER, protocol=17),
        replace(ANSWER, source_port=81),
        replace(ANSWER, port=40001),
        replace(ANSWER, destination=CLIENT + 9),
        replace(ANSWER, source=SERVER + 9),
    )
    assert mirrored((*others, ANSWER), (FORGOTTEN,)) == (ANSWER,)
    assert mirrored((ANSWER,), ()) == ()


def test_without_ports_there_is_no_other_side() -> None:
    ping = replace(FORGOTTEN, protocol=1, source_port=0, port=0, icmp_type=8)
    assert mirrored((replace(ping, source=SERVER, destination=CLIENT),), (ping,)) == ()
