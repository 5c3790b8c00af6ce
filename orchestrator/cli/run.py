"""One run of a command: what it said so far, to whom, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import click

from orchestrator.cli import terminal
from orchestrator.cli.views import progress
from orchestrator.errors import GlmAriaError, NotAllowedError
from orchestrator.events import Event, Notice
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.app.services import Services
    from orchestrator.documents import Outcome

_MOST_NOTICES = 1000
_Data = TypeVar("_Data")
MakeServices = Callable[[Settings], "Services"]


class Shown(Protocol):
    """The options that say how a run is shown: `cli.options.Output`."""

    @property
    def as_json(self) -> bool: ...
    @property
    def progress(self) -> str: ...
    @property
    def quiet(self) -> bool: ...


def services(settings: Settings) -> Services:
    """The services for these settings, made by the factory that `cli.main.main` got."""
    return cast("MakeServices", click.get_current_context().obj)(settings)


@dataclass(slots=True)
class Run:
    """A run for its watcher: the notices so far, and the progress.

    `is_events` says that stderr is for JSON lines; who reads these wants no prose between them, so it `is_quiet`, too.
    """

    as_json: bool
    watcher: progress.Watcher = field(default_factory=progress.Watcher)
    is_quiet: bool = False
    is_events: bool = False
    token_withheld: str | None = None
    notices: dict[Notice, None] = field(default_factory=dict)
    _cautions: tuple[Notice, ...] = ()

    @classmethod
    def watching(cls, shown: Shown, settings: Settings, *, is_guest: bool = False) -> Run:
        """A run that shows progress as its options say. A guest shares the terminal with another program."""
        mode = progress.choose(shown.progress, as_json=shown.as_json, quiet=shown.quiet)
        is_events = mode == "json"
        watcher = watcher_of(mode, is_guest=is_guest)
        run = cls(shown.as_json, watcher, shown.quiet or is_events, is_events, settings.token_withheld)
        run._cautions = _cautions(settings)
        return run

    @classmethod
    def warned(cls, settings: Settings, *, as_json: bool) -> Run:
        """A run without progress that passes on what the settings warn of."""
        run = cls(as_json)
        run.emit(*_cautions(settings))
        return run

    def watched(self) -> progress.Watcher:
        """The context in which progress is shown. What the settings warn of is said first."""
        self.emit(*self._cautions)
        return self.watcher

    def emit(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, Notice):
                self.notices[event] = None
            self.watcher.emit(event)

    def tell_once(self, notice: Notice) -> None:
        """Tell what would be said again each time that somebody looks."""
        if notice not in self.notices:
            self.emit(notice)

    def emit_lasting(self, event: Event) -> None:
        """Emit in a run of weeks, in which the same may happen again, and should be told again; not all can be kept."""
        if isinstance(event, Notice):
            self.watcher.shown.discard(event)
            self.forget(_MOST_NOTICES)
        self.emit(event)

    def forget(self, most: int) -> None:
        """Keep the newest `most` notices only: a run may last for months."""
        for notice in [*self.notices][:-most]:
            self.notices.pop(notice, None)
            self.watcher.shown.discard(notice)

    def outcome(
        self,
        errors: Sequence[GlmAriaError] = (),
        models: int = 0,
        *,
        interrupted: int | None = None,
        strict: bool = False,
    ) -> Outcome:
        """The outcome of the run, by its report. If a token was withheld, errors for want of one say why."""
        from orchestrator.documents import Outcome

        for error in errors:
            if isinstance(error, NotAllowedError) and self.token_withheld:
                error.hint = self.token_withheld
        return Outcome.of(errors, models, tuple(self.notices), interrupted=interrupted, strict=strict)


def finish(run: Run, command: str, report: _Data, view: Callable[[_Data], None], outcome: Outcome | None = None) -> int:
    """The end of every command: warnings that nobody saw yet, then the report as JSON or as text with its errors.

    Returns the exit code.
    """
    from orchestrator.documents import Outcome, document

    ended = outcome or Outcome.of()
    for notice in run.notices:
        if notice not in run.watcher.shown:
            terminal.say_notice(notice)
    if run.as_json:
        terminal.document(document(command, ended, report, run.notices))
    else:
        view(report)
        terminal.say_errors(*ended.errors)
    return ended.exit_code


def _cautions(settings: Settings) -> tuple[Notice, ...]:
    return tuple(Notice(code, message) for code, message in settings.warnings)


def watcher_of(mode: str, *, is_guest: bool = False) -> progress.Watcher:
    """The watcher for a mode of `progress.choose`. A guest shares the terminal with another program."""
    if mode == "bar":
        from orchestrator.cli.views.bar import Bar

        return Bar()
    if mode == "lines":
        return progress.GuestLines() if is_guest else progress.Lines()
    return progress.JsonLines() if mode == "json" else progress.Watcher()
