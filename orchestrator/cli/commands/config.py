"""`glm-aria config`: what the settings are, where each one came from, and which files are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG, named_config
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.core.sizes import format_speed
from orchestrator.core.sources import Source
from orchestrator.core.text import printable, redacted
from orchestrator.disk import places
from orchestrator.settings import FILE_NAME, user_file
from orchestrator.settings.document import SettingsDocument, plain, values_of
from orchestrator.settings.files import why_ignored

if TYPE_CHECKING:
    from orchestrator.doctor.past_documents import TuneDocument


@click.group()
def config() -> None:
    """Show settings and where each one came from.

    The first place that has a value wins: flags, environment, ./glm-aria.toml, your own file, defaults.
    """


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """The options of `config show`."""

    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


@config.command()
@takes(ShowOptions)
def show(options: ShowOptions) -> int:
    """Print each setting, its value and its origin; secrets as ***."""
    settings = shared.settings()

    def show_all(found: SettingsDocument) -> None:
        for name, value in values_of(settings):
            for line in lines_of(name, value):
                terminal.show(f"{name} = {line}  ({found.settings[name].origin})")
        if settings.token_withheld:
            terminal.say(f"note: {redacted(settings.token_withheld)}")

    run = Run.warned(settings, as_json=options.as_json)
    return finish(run, "config show", SettingsDocument.of(settings), show_all)


@config.command()
def path() -> None:
    """Print the path of your own settings file, whether or not it exists."""
    terminal.result(str(user_file()))
    here = (places.working_directory() or Path()) / FILE_NAME
    for file in (named_config() or here, user_file()):
        # Not Path.is_file, which raises where a folder above is closed.
        state = "read" if os.path.isfile(file) or os.fspath(file) == os.devnull else "not there"  # noqa: PTH113
        if file == here and (reason := why_ignored(file)):
            state = f"not read, since {reason}"
        terminal.say(printable(f"{state}: {file}"))


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """The options of `config tune`."""

    config: Annotated[str | None, CONFIG]
    yes: Annotated[bool, option("--yes", help="Write the changes (default: only show them).")]
    as_json: Annotated[bool, shared.JSON]


@config.command()
@takes(TuneOptions)
def tune(options: TuneOptions) -> int:
    """Fit your settings file to the measurements: show the changes with reasons; with --yes, write them.

    Uses what the last `glm-aria doctor REF`, probes and pulls measured; contacts no server. Keeps the comments in the
    file. Says so where a variable or ./glm-aria.toml wins over your file.

    \b
    Examples:
      glm-aria config tune
      glm-aria config tune --yes
    """
    from orchestrator.doctor.past_documents import ChangeEntry, TuneDocument
    from orchestrator.settings import edit

    settings = shared.settings()
    changes = services(settings).tuning()
    path = user_file()
    old, new = edit.texts(path, {change.key: change.new for change in changes})
    is_written = bool(options.yes and changes and old != new)
    if is_written:
        edit.write(path, new)
    report = TuneDocument(str(path), is_written, tuple(map(ChangeEntry.of, changes)), edit.diff(path, old, new))
    return finish(Run(options.as_json), "config tune", report, lambda found: _print_tuned(found, settings.origins))


def _print_tuned(found: TuneDocument, origins: Mapping[str, str]) -> None:
    """The diff on stdout, reasons and what to do on stderr."""
    if not found.changes:
        terminal.say("the measurements suggest no change; to measure more: glm-aria doctor REF")
        return
    for line in found.diff:
        terminal.show(line)
    for change in found.changes:
        terminal.say(redacted(f"{change.key}: {change.reason}"))
        name = "mirrors" if change.key == "mirror" else change.key.rpartition(".")[2]
        origin = origins.get(name, "default")
        if origin.startswith(("environment", "flag")) or (origin.startswith("file") and found.file not in origin):
            terminal.say(redacted(f"  but {origin} wins over your file"))
    terminal.say(printable(f"written: {found.file}" if found.written else "to write it: glm-aria config tune --yes"))


def lines_of(name: str, value: object) -> Iterator[str]:
    """A setting as a person reads it: one line, or one for each of several."""
    bare = plain(value)
    if name == "max_speed" and isinstance(value, int):
        yield format_speed(value)
    elif isinstance(value, Source):
        yield value.url
    elif name == "mirrors" and isinstance(value, tuple) and value:
        yield from (f"{mirror.name}: {mirror.kind}+{mirror.url}" for mirror in value)
    elif isinstance(bare, dict):
        yield from [f"{key} -> {other}" for key, other in bare.items()] or ["none"]
    elif isinstance(bare, list):
        yield ", ".join(map(str, bare)) or "none"
    elif isinstance(bare, bool):
        yield "yes" if bare else "no"
    else:
        yield "none" if bare is None else f"{bare:g}" if isinstance(bare, float) else str(bare)
