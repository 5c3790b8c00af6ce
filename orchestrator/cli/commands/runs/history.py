"""`glm-aria history`: past pulls, and how fast each source was over time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.cli.views.table import NOTHING, show, spark
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.text import redacted
from orchestrator.doctor.history import rates_over_time
from orchestrator.doctor.past_documents import HistoryDocument, PastPull
from orchestrator.doctor.slowdowns import slowdowns


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """The options of `history`."""

    last: Annotated[
        int,
        option("-n", "--last", type=click.IntRange(1), default=20, show_default=True, metavar="N",
               help="Number of pulls to show."),
    ]  # fmt: skip
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


@click.command("history")
@takes(HistoryOptions)
def history(options: HistoryOptions) -> int:
    """Show past pulls, and the speed of each source.

    The newest pull comes last; below them is the speed of each source over time. The bytes are those that came in that
    pull, also where it was stopped. A pull that fetched nothing leaves no entry. The state folder beside the cache
    keeps the newest thousand.

    Notes name the sources that were much slower in their last pull than on other days at that hour.

    \b
    Examples:
      glm-aria history
      glm-aria history --last 5 --json
    """
    known = services(shared.settings(options)).past_pulls()
    past = known[-options.last :]
    slow = slowdowns(known, past[0].at) if past else ()

    def show_all(found: HistoryDocument) -> None:
        _print(found, rates_over_time(past))

    return finish(Run(options.as_json), "history", HistoryDocument.of(past, slow), show_all)


def _print(found: HistoryDocument, rates: dict[str, tuple[float, ...]]) -> None:
    if not found.pulls:
        terminal.say("no pull is recorded yet")
        return
    show(("when", "model", "bytes", "time", "speed", "sources"), [_row(pull) for pull in found.pulls])
    if rates:
        terminal.result("")
        drawn = [(name, spark(speeds), format_speed(speeds[-1])) for name, speeds in rates.items()]
        show(("source", "speed over time", "last"), drawn, whole="source")
    if found.slowdowns:
        terminal.result("")
    for slow in found.slowdowns:
        usual = f"{format_speed(slow.rate)} where {format_speed(slow.usual)} are usual"
        terminal.result(redacted(f"note: {slow.message}: {usual}"))


def _row(pull: PastPull) -> tuple[str, ...]:
    shares = sorted(((name, sent.bytes) for name, sent in pull.sources.items()), key=lambda item: -item[1])
    total = max(1, sum(sent for _, sent in shares))
    return (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(pull.at)),
        pull.model,
        format_size(pull.bytes),
        format_duration(pull.seconds),
        format_speed(pull.rate) if pull.rate else NOTHING,
        ", ".join(f"{name} {sent / total:.0%}" for name, sent in shares),
    )
