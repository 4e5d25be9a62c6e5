"""`policyd why`: why one connection is allowed or denied, by which rule, and what would change it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from policyd.ask.answers import verdict_json
from policyd.ask.naming import Named, find_one, judged_packet
from policyd.ask.ports import read_port, split_port
from policyd.ask.published import publishers_of
from policyd.ask.why import why
from policyd.ask.world import World
from policyd.cli import terminal
from policyd.cli.flags import add_color_flag
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.questions import add_question_flags, load_world, print_warnings
from policyd.cli.why_packets import walk_all, walks_json, walks_text
from policyd.cli.why_text import all_ports, why_text
from policyd.errors import Exit, WrongUsage
from policyd.kube.syntax import quote

USAGE = "-f PATH FROM TO[:PORT[/PROTOCOL]] [OPTIONS]"
TEXT = """\
Say whether FROM may open a connection to TO, and why: which policies isolate each end, which rule allows it,
or which nearly does, and the edit that would change it. FROM and TO are shop/deploy/web, shop/web, a pod,
svc/api, app=web@shop, an address ([fd00::1]:80 with a port), node/n1 or internet. Exit code 0 is allowed, 1
denied, or not known from these objects."""
EXAMPLES = """\
policyd why -f manifests/ shop/web shop/db:5432
policyd why -f manifests/ guest/shell svc/shop/api:80 -o json
kubectl get ns,nodes,pods,netpol,svc,deploy,rs,sts,ds,job -A -o json | policyd why -f - internet shop/web:http
policyd why --live shop/web shop/dns:53/UDP"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "why", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument("sender", metavar="FROM", help="who opens the connection")
    parser.add_argument("receiver", metavar="TO[:PORT[/PROTOCOL]]", help="to whom; TCP without PROTOCOL")
    add_question_flags(parser)
    group = parser.add_argument_group("what comes out")
    group.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(%(default)s)")
    group.add_argument(
        "--all-ports", action="store_true", help="say of all ports which are open; so does TO without a port"
    )
    group.add_argument(
        "--packets",
        action="store_true",
        help="also show the packet's way through the rulesets of its nodes; both must say the same",
    )
    add_color_flag(group)


def main(args: Namespace) -> int:
    """Answer the question."""
    name, port = split_port(args.receiver)
    if port is not None and args.all_ports:
        raise WrongUsage("either a port, or --all-ports")
    if port is None and args.packets:
        raise WrongUsage(f"which packet? write a port after {quote(name)}, as in {name}:80")
    if port is None and args.output == "json":
        raise WrongUsage(f"which port? write it after {quote(name)}, as in {name}:80")
    asked_port = None if port is None else read_port(port)
    asked = load_world(args)
    print_warnings(asked, colored=terminal.uses_color(args.color, sys.stderr))
    world = asked.world
    sender = find_end(world, args.sender, args.namespace)
    receiver = find_end(world, name, args.namespace)
    colored = terminal.uses_color(args.color, sys.stdout)
    [source], [destination] = sender.ends, receiver.ends
    if asked_port is None:
        text, is_open = all_ports(world, source, destination, colored=colored)
        terminal.write(text)
        return Exit.OK if is_open else Exit.FINDING
    packet, said = judged_packet(receiver, destination, *asked_port)
    if receiver.service is not None and (by := publishers_of(world, receiver.service)):
        said += f"; it is published by {', '.join(by)}"
    verdict = why(world, source, destination, packet)
    walks = walk_all(world, verdict) if args.packets else None
    if args.output == "json":
        more = walks_json(walks) if walks else {}
        terminal.write(json.dumps({**verdict_json(verdict), **more}, indent=2) + "\n")
    else:
        more_text = walks_text(walks) if walks else ""
        terminal.write(why_text(verdict, said, colored=colored) + more_text)
    return Exit.OK if verdict.answer == "allowed" else Exit.FINDING


def find_end(world: World, text: str, namespace: str) -> Named:
    """The one end that is named; where several can be meant, the one of the namespace of -n. WrongUsage."""
    try:
        return find_one(world, text)
    except WrongUsage:
        try:
            return find_one(world, text, namespace)
        except WrongUsage:
            pass
        raise
