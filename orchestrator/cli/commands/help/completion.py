"""`glm-aria completion`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from orchestrator.cli import terminal

_INSTALL = {
    "bash": 'eval "$(glm-aria completion bash)"          # in ~/.bashrc',
    "zsh": 'eval "$(glm-aria completion zsh)"            # in ~/.zshrc, after compinit',
    "fish": "glm-aria completion fish > ~/.config/fish/completions/glm-aria.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(tuple(_INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell. Its last line says how to install it."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"this version of click knows no completion for {shell}", ctx)
    script = made(ctx.find_root().command, {}, "glm-aria", "_GLM_ARIA_COMPLETE").source()
    # At the end: zsh wants its #compdef in the first line.
    terminal.result(f"{script.strip()}\n# To install: {_INSTALL[shell]}")
