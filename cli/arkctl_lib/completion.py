"""completion: prints completion scripts for bash and zsh, generated from the argument parser."""

import argparse

from arkctl_lib.failure import OK
from arkctl_lib.terminal import write

HEADS = {
    "bash": "# arkctl completion for bash:  source <(arkctl completion bash)\n",
    "zsh": "#compdef arkctl\n# arkctl completion for zsh:  source <(arkctl completion zsh)\nautoload -Uz bashcompinit && bashcompinit\n",
}
REPLIES = {
    "bash": 'mapfile -t COMPREPLY < <(compgen {} -- "$word")',
    "zsh": 'COMPREPLY=($(compgen {} -- "$word"))',
}
BODY = """_arkctl() {{
    local word=${{COMP_WORDS[$COMP_CWORD]}} previous=${{COMP_WORDS[$((COMP_CWORD - 1))]}} path="" each known
    for each in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        for known in "${{_arkctl_paths[@]}}"; do
            [[ $known == "${{path:+$path }}$each" ]] && path=$known && break
        done
    done
    case $previous in
{choices}
        --save | --output | -o) {folders}; return ;;
    esac
    case $path in
{words}
    esac
}}
_arkctl_paths=({paths})
complete -F _arkctl arkctl
"""


def completion(context, args):
    write(HEADS[args.shell] + _script(context.parser, REPLIES[args.shell]).rstrip() + "\n")
    return OK


def _script(parser, reply):
    tree = dict(_walk(parser, ""))
    choices = {option: action.choices for node in tree.values() for action in node._actions if action.choices
               and not isinstance(action, argparse._SubParsersAction) for option in action.option_strings}
    return BODY.format(
        folders=reply.format("-d"),
        choices="\n".join(f"        {option}) {_reply(reply, words)}; return ;;" for option, words in sorted(choices.items())),
        words="\n".join(f"        \"{path}\") {_reply(reply, _words(node))} ;;" for path, node in tree.items()),
        paths=" ".join(f'"{path}"' for path in tree if path))


def _reply(reply, words):
    return reply.format(f'-W "{" ".join(words)}"')


def _walk(parser, path):
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from _walk(child, f"{path} {name}".strip())


def _words(parser):
    """Subcommands or the choices of a positional argument, then options."""
    words, options = [], []
    for action in parser._actions:
        if not action.option_strings and action.choices:
            words += list(action.choices)
        options += [option for option in action.option_strings if option.startswith("--")]
    return words + options
