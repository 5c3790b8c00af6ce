"""Click with two additions: commands that are imported when they are called, and options under headings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

_OTHER = "Other"
_COMMANDS = "orchestrator.cli.commands"
_OF_OTHERS = {
    **dict.fromkeys(("download", "get", "fetch", "install", "clone"), "pull"),
    **dict.fromkeys(("resume", "continue"), "pull --resume-last"),
    **dict.fromkeys(("delete", "remove", "rm"), "cache rm"),
    **dict.fromkeys(("list", "ls"), "cache ls"),
}
"""Words by which other programs call what we have."""


class Lazy(NamedTuple):
    """A command that is not imported yet: its module in `cli/commands`, and its line in the list of commands."""

    module: str
    summary: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called: `--help` and `--version` pay for none of them."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands, in the order in which they were named."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        entry = self._lazy.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"{_COMMANDS}.{entry.module}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{_COMMANDS}.{entry.module} has no command {cmd_name}")
        _refuse_empty(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the one that was probably meant."""
        name = args[0] if args else ""
        if name not in self._lazy and not name.startswith("-"):
            if meant := self._meant(ctx, name):
                ctx.fail(f"No such command {name!r}. Did you mean {meant!r}?")
            if "/" in name:
                ctx.fail(f"No such command {name!r}. To fetch a model: glm-aria pull {shlex.quote(name)}")
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, name: str) -> str | None:
        """The command that a wrong name probably means: one like it, one of a group, or by a word of other programs."""
        import difflib

        if ctx.parent is None:
            if name in _OF_OTHERS:
                return _OF_OTHERS[name]
            for group in self._lazy:
                command = self.get_command(ctx, group)
                if isinstance(command, click.Group) and name in command.list_commands(ctx):
                    return f"{group} {name}"
        return next(iter(difflib.get_close_matches(name, self._lazy, 1)), None)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from their summaries, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._lazy.items()])


class _Word(click.types.StringParamType):
    """A text that is not empty: `--lock "$FILE"` with a variable that is not set means nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        if isinstance(text, str) and not text.strip():
            self.fail("must not be empty", param, ctx)
        return text


WORD = _Word()


def _refuse_empty(command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.type is click.STRING:
            parameter.type = WORD
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _refuse_empty(below)


class HeadedCommand(click.Command):
    """A command whose options are shown under their headings, in the order in which these first appear."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        _write_sections(self, ctx, formatter)


class HeadedGroup(click.Group):
    """The same for a group that is a command itself when none of its commands is named."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        _write_sections(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _write_sections(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write one section for each heading; options without one come last."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None:
            sections.setdefault(getattr(parameter, "heading", _OTHER), []).append(record)
    sections[_OTHER] = sections.pop(_OTHER, [])
    for heading, records in sections.items():
        if not records:
            continue
        with formatter.section(heading):
            formatter.write_dl(records)
