"""One run of a command that shows progress: what was said so far, and to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator.cli.views import progress, results
from orchestrator.errors import GlmAriaError, NotAllowedError
from orchestrator.events import Event, Notice
from orchestrator.settings import Settings


@dataclass(slots=True)
class Run:
    """What a run said so far: its notices, for the report, and its progress, for whoever watches."""

    settings: Settings
    watcher: progress.Watcher
    is_quiet: bool
    is_events: bool = False
    seen: list[Notice] = field(default_factory=list)

    @classmethod
    def of(cls, parameters: dict[str, Any], settings: Settings) -> Run:
        mode = progress.choose(parameters["progress"], as_json=parameters["as_json"], quiet=parameters["quiet"])
        # Who reads events from stderr wants no prose between them.
        is_quiet = parameters["quiet"] or mode == "json"
        return cls(settings, progress.watcher(mode), is_quiet, mode == "json")

    def watched(self) -> progress.Watcher:
        """The context in which progress is shown. What the settings warn of is said first."""
        for code, message in self.settings.warnings:
            self.emit(Notice(code, message))
        return self.watcher

    def emit(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.seen.append(event)
        self.watcher.emit(event)

    def all_notices(self, reported: tuple[Notice, ...]) -> tuple[Notice, ...]:
        """Those of the settings, of the events and of the report, each once."""
        return tuple(dict.fromkeys((*self.seen, *reported)))

    def say_missed(self, notices: tuple[Notice, ...]) -> None:
        """Tell the warnings that the watcher did not show as they came."""
        for notice in notices:
            if notice not in self.watcher.shown:
                results.say_notice(notice)

    def explained(self, errors: tuple[GlmAriaError, ...]) -> tuple[GlmAriaError, ...]:
        """Where access was denied for want of a token that there is: say why it was not sent."""
        for error in errors:
            if isinstance(error, NotAllowedError) and self.settings.token_withheld:
                error.hint = self.settings.token_withheld
        return errors
