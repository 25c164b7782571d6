"""``lossconf completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["command"]

_COLONS = """# A colon breaks no word, as in python-layer:FILE:CLASS.
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}"""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the completion script of SHELL: commands, options, implementations, layers, families, types, and the cases
    that fail in a report.

    \b
    Examples:
      eval "$(lossconf completion bash)"                                in ~/.bashrc
      eval "$(lossconf completion zsh)"                                 in ~/.zshrc
      lossconf completion fish > ~/.config/fish/completions/lossconf.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    if shell == "bash":
        click.echo(_COLONS)
    click.echo(found(context.find_root().command, {}, "lossconf", "_LOSSCONF_COMPLETE").source())
    return 0
