"""What belongs to a pod's own link and passes every policy: neighbour discovery and MLD (NP-083, NP-164).

Only as such packets are on a link: ND comes with hop limit 255, which no router leaves at that; MLD comes
from a link-local address, or none yet, and goes to a group. Anything else of these types is judged like any
ICMPv6.
"""

from __future__ import annotations

from policyd_compiler.nft.ast import Accept, Drop, Rule
from policyd_compiler.nft.expressions import Field, Match, Numbers, Prefix, numbers

#: (network, prefix length)
LINK_LOCAL6 = (0xFE80 << 112, 10)
MULTICAST4, MULTICAST6 = (0xE000_0000, 4), (0xFF00 << 112, 8)
NOWHERE4, NOWHERE6 = (0, 32), (0, 128)
LOOPBACK4, LOOPBACK6 = (127 << 24, 8), (1, 128)

#: Solicitations and advertisements of neighbours, and the question for routers.
NEIGHBOURS = Match(Field.ICMPV6_TYPE, numbers(133, 135, 136))
#: Router advertisements and redirects: never a pod's to send.
ROUTERS = Match(Field.ICMPV6_TYPE, numbers(134, 137))
_GROUPS = Match(Field.ICMPV6_TYPE, Numbers(((130, 132), (143, 143))))
_NEVER_FORWARDED = Match(Field.IP6_HOPLIMIT, numbers(255))
_TO_GROUP = Match(Field.IP6_DADDR, Prefix(*MULTICAST6))


def link_rules(of_pods: tuple[Match, ...]) -> tuple[Rule, ...]:
    """Rules that let the link's traffic pass. `of_pods` holds for what comes from pods, if that is known."""
    return (
        Rule(Accept(), (NEIGHBOURS, _NEVER_FORWARDED)),
        *((Rule(Drop(), (ROUTERS, *of_pods), comment="a pod is no router"),) if of_pods else ()),
        Rule(Accept(), (ROUTERS, _NEVER_FORWARDED)),
        *(
            Rule(Accept(), (_GROUPS, Match(Field.IP6_SADDR, Prefix(*source)), _TO_GROUP))
            for source in (LINK_LOCAL6, NOWHERE6)
        ),
    )
