"""What a packet's connection says of it, where nothing else is asked: the same at every hook."""

from __future__ import annotations

from policyd_compiler.nft.ast import Accept, Rule
from policyd_compiler.nft.expressions import Field, Match, Word, numbers
from policyd_compiler.nft.packet import PROTOCOL_NUMBERS

NEW = Match(Field.CT_STATE, Word("new"))
ESTABLISHED = Rule(Accept(), (Match(Field.CT_STATE, Word("established")),))
_ICMP = Match(Field.META_L4PROTO, numbers(PROTOCOL_NUMBERS["icmp"], PROTOCOL_NUMBERS["ipv6-icmp"]))
#: Only ICMP errors: data flows that a conntrack helper announces are judged like any other (NP-086).
ERRORS = Rule(Accept(), (Match(Field.CT_STATE, Word("related")), _ICMP))
INVALID = (Match(Field.CT_STATE, Word("invalid")),)
#: A TCP packet that does not open a connection, and belongs to none that is known: one whose entry was
#: removed must not come back by a packet from its middle (NP-122).
MIDDLE = (Match(Field.TCP_FLAGS, Word("syn"), negated=True), NEW)
