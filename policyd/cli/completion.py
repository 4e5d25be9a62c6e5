"""`policyd completion`: what a shell sources to complete commands, flags and values."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence

from policyd.cli import terminal
from policyd.cli.described import Described, Flag, describe
from policyd.cli.parsing import Subparsers, add_command

TEXT = """\
Print a script that makes a shell complete policyd's commands, flags and values. It is made from the commands
as they are: print it again after an update."""
EXAMPLES = """\
source <(policyd completion bash)
policyd completion zsh > "${fpath[1]}/_policyd"
policyd completion fish > ~/.config/fish/completions/policyd.fish"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "completion", TEXT, EXAMPLES, usage=f"{{{','.join(SHELLS)}}}")
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SHELLS), help=", ".join(SHELLS))


def main(args: Namespace) -> int:
    """Print the script."""
    terminal.write(SHELLS[args.shell](list(describe())))
    return 0


def bash(commands: Sequence[Described]) -> str:
    """For bash 4 and later, with or without bash-completion."""
    values, flags, words = [], [], []
    for command in commands:
        flags.append(f"    {command.name}) flags='{' '.join(_names(command.flags))}' ;;")
        if command.words:
            words.append(f"    {command.name}) words='{' '.join(command.words)}' ;;")
        for flag in command.flags:
            if flag.metavar:
                keys = "|".join(f"{command.name}\\ {name}" for name in flag.names)
                offered = "files" if flag.takes_path else "words"
                values.append(f"    {keys}) {offered}='{' '.join(flag.choices) or '-'}' ;;")
    return f"""\
# bash completion of policyd: source <(policyd completion bash)
_policyd() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="${{COMP_WORDS[1]}}"
  local flags= words= files=
  COMPREPLY=()
  if [ "$COMP_CWORD" -le 1 ]; then
    COMPREPLY=($(compgen -W '{" ".join(each.name for each in commands)} --help --version' -- "$current"))
    return
  fi
  case "$command $previous" in
{_lines(values)}
  esac
  if [ -n "$files" ]; then
    COMPREPLY=($(compgen -f -- "$current"))
    return
  elif [ -n "$words" ]; then
    [ "$words" = - ] || COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  case "$command" in
{_lines(words)}
  esac
  case "$command" in
{_lines(flags)}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) if [ -n "$words" ]; then
         COMPREPLY=($(compgen -W "$words" -- "$current"))
       else
         COMPREPLY=($(compgen -f -- "$current"))
       fi ;;
  esac
}}
complete -o filenames -F _policyd policyd
"""


def zsh(commands: Sequence[Described]) -> str:
    """For zsh, as a function in its search path, or sourced."""
    names = "\n".join(f"    {_quoted(f'{each.name}:{each.summary}')}" for each in commands)
    cases = "\n".join(_zsh_case(each) for each in commands)
    return f"""\
#compdef policyd
# zsh completion of policyd: policyd completion zsh > "${{fpath[1]}}/_policyd"
_policyd() {{
  local -a commands
  commands=(
{names}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands 'command' commands
    return
  fi
  local command="${{words[2]}}"
  shift words
  (( CURRENT-- ))
  case "$command" in
{cases}
  esac
}}
if [ "${{funcstack[1]}}" = _policyd ]; then _policyd "$@"; else compdef _policyd policyd; fi
"""


def _zsh_case(command: Described) -> str:
    specs: list[str] = []
    for flag in command.flags:
        value = ""
        if flag.metavar:
            action = "_files" if flag.takes_path else f"({' '.join(flag.choices)})" if flag.choices else " "
            value = f":{flag.metavar.replace(':', ' ')}:{action}"
        text = flag.text.replace("[", "(").replace("]", ")").replace(":", ",")
        specs.extend(_quoted(f"*{name}[{text}]{value}") for name in flag.names)
    if command.words:
        specs.append(_quoted(f"1:what:({' '.join(command.words)})"))
    elif command.takes_paths:
        specs.append(_quoted("*:path:_files"))
    return f"    {command.name}) _arguments -S \\\n      " + " \\\n      ".join(specs) + " ;;"


def fish(commands: Sequence[Described]) -> str:
    """For fish."""
    lines = [
        "# fish completion of policyd: policyd completion fish > ~/.config/fish/completions/policyd.fish",
        "complete -c policyd -f",
    ]
    for command in commands:
        lines.append(
            f"complete -c policyd -n __fish_use_subcommand -a {command.name} -d {_quoted(command.summary)}"
        )
        here = f"complete -c policyd -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{here} -a {_quoted(' '.join(command.words))}")
        elif command.takes_paths:
            lines.append(f"{here} -F")
        lines.extend(f"{here} {_fish_flag(flag)}" for flag in command.flags)
    return "\n".join(lines) + "\n"


def _fish_flag(flag: Flag) -> str:
    parts = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.metavar:
        parts.append("-r -F" if flag.takes_path else "-x")
    if flag.choices:
        parts.append(f"-a {_quoted(' '.join(flag.choices))}")
    return f"{' '.join(parts)} -d {_quoted(flag.text)}"


def _names(flags: Iterable[Flag]) -> list[str]:
    return [name for flag in flags for name in flag.names]


def _lines(lines: list[str]) -> str:
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """One word of a shell, in single quotes; also of fish, which knows no '\\'' inside of them."""
    return "'" + text.replace("\\", "").replace("'", "’") + "'"


SHELLS: dict[str, Callable[[Sequence[Described]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
