"""`glm-aria history`: past pulls, and how fast each source was over time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from orchestrator.cli import options, terminal
from orchestrator.cli.groups import CONFIG
from orchestrator.cli.views import results
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.doctor.history import Past, rates_over_time

_BARS = "▁▂▃▄▅▆▇█"


@click.command("history")
@click.option("-n", "--last", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="So many pulls.")
@options.CACHE_DIR
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def history(last: int, as_json: bool, **parameters: Any) -> int:
    """Past pulls, and how fast each source was.

    The newest comes last, and the speed of each source is drawn over time. A pull that fetched nothing leaves no entry.
    The thousand newest are kept, in the state folder beside the cache.

    \b
    Examples:
      glm-aria history
      glm-aria history --last 5 --json
    """
    from orchestrator.app import services

    settings = options.settings(parameters)
    past = services.past_pulls(settings)[-last:]
    if as_json:
        terminal.document(results.envelope("history", results.judge((), 0), data(past)))
        return 0
    if not past:
        terminal.say("no pull is remembered yet")
        return 0
    from orchestrator.cli.views.sources import Table, show

    head = ("when", "model", "bytes", "time", "speed", "sources")
    show(Table((head, *map(_row, past))))
    drawn = [(name, spark(rates), format_speed(rates[-1])) for name, rates in rates_over_time(past).items()]
    if drawn:
        terminal.result("")
        show(Table((("source", "speed over time", "last"), *drawn)))
    return 0


def data(past: Sequence[Past]) -> dict[str, object]:
    """The `data` of the document. Times are seconds, rates bytes a second."""
    return {
        "pulls": [
            {
                "at": one.at,
                "model": one.model,
                "bytes": one.size,
                "seconds": one.seconds,
                "rate": one.rate,
                "sources": {name: {"bytes": sent, "rate": one.rate_of(name)} for name, sent in one.sources.items()},
            }
            for one in past
        ]
    }


def spark(values: Sequence[float]) -> str:
    """A bar for each value, the largest full."""
    most = max(values, default=0.0) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int(value / most * len(_BARS)))] for value in values)


def _row(one: Past) -> tuple[str, ...]:
    shares = sorted(one.sources.items(), key=lambda item: -item[1])
    return (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at)),
        one.model,
        format_size(one.size),
        format_duration(one.seconds),
        format_speed(one.rate) if one.rate else "-",
        ", ".join(f"{name} {sent / max(1, sum(one.sources.values())):.0%}" for name, sent in shares),
    )
