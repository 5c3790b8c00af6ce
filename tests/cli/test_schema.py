"""docs/schema.json covers what the commands print."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orchestrator.cli.main import cli
from orchestrator.cli.schema import DATA


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{above}{name}"
        yield words, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} ")


def test_each_command_with_json_has_its_type_in_the_schema() -> None:
    with_json = {words for words, command in commands(cli) if any("--json" in option.opts for option in command.params)}
    assert with_json == set(DATA)
