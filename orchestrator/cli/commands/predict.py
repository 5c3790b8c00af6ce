"""`glm-aria predict`: forecasts of what will be asked for, and what they have shown."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import click

from orchestrator.app.predicting.service import DemandSource, Generated
from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.options import CacheOptions
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views.table import NOTHING, show, spark
from orchestrator.core.addresses import parse_address
from orchestrator.core.text import counted, printable
from orchestrator.disk import places
from orchestrator.errors import CannotCreateError, UsageError
from orchestrator.predict.document import (
    EvaluationDocument,
    ExportedTraceDocument,
    ForecastDocument,
    RatioEntry,
    ScoreEntry,
    scores_of,
)
from orchestrator.system.failures import on_disk

_TRACE = option("--trace", metavar="FILE", help="Learn from this trace, instead of from the demand of this cache.")
_PROMETHEUS = option(
    "--prometheus", metavar="URL", help="Learn from what this Prometheus knows of serve: http://127.0.0.1:9090."
)
Kind = Literal["daily", "weekly", "jobs", "releases", "bursts", "new-models", "noise"]


@click.group()
def predict() -> None:
    """Forecast which models will be asked for, and show what the forecasts are worth.

    `pull` and `serve` note what was wanted in the state folder of the cache. `train` tries several forecasters on it,
    and keeps the forecast of the best for two days. It is used only if it erred less, on days that it had not seen,
    than a repetition of the last week and than the mean of each model; and only where predict.enabled
    (GLM_ARIA_PREDICT=1) is on. Needs numpy: pip install 'glm-aria[predict]'.

    \b
    Examples:
      glm-aria predict train
      glm-aria predict show
      glm-aria predict evaluate --picture backtest.svg
      glm-aria predict evaluate --generated weekly --seed 7
      glm-aria predict export demand.jsonl --anonymous
    """


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of `predict train`."""

    trace: Annotated[str | None, _TRACE]
    prometheus: Annotated[str | None, _PROMETHEUS]
    place: CacheOptions


@predict.command()
@takes(TrainOptions)
def train(options: TrainOptions) -> int:
    """Try the forecasters on the demand until now, and keep the forecast of the best.

    Run it once a day, by a timer: a forecast that is older is not acted upon. What is kept replaces what was kept
    before, also where no forecaster is good enough; then nothing is done because of it.
    """
    settings = shared.settings(options)
    run = Run.warned(settings, as_json=options.place.as_json)
    trained = services(settings).predicting.train(_source(options.trace, options.prometheus), run.emit)
    document = ForecastDocument.of(trained, time.time(), enabled=settings.predict_enabled)

    def view(found: ForecastDocument) -> None:
        _show_scores(found.scores)
        _say_use(found, is_shown=False)

    return finish(run, "predict train", document, view, run.outcome())


@dataclass(frozen=True, slots=True)
class ShowForecastOptions:
    """The options of `predict show`."""

    most: Annotated[
        int,
        option("-n", "--models", type=click.IntRange(1), default=20, show_default=True, metavar="N",
               help="Number of models to show."),
    ]  # fmt: skip
    place: CacheOptions


@predict.command("show")
@takes(ShowForecastOptions)
def show_forecast(options: ShowForecastOptions) -> int:
    """Show the forecast that was trained last: the pulls of each model in the next hours.

    The most wanted come first. The bars are the hours of two days, from the time in the head of the table on; the
    largest of a model is full. The JSON document has all models.
    """
    settings = shared.settings(options)
    trained = services(settings).predicting.trained()
    document = ForecastDocument.of(trained, time.time(), enabled=settings.predict_enabled)

    def view(found: ForecastDocument) -> None:
        if found.models:
            begin = time.strftime("%a %H:%M", time.localtime(found.start))
            rows = [(entry.model, f"{entry.day:.1f}", spark(entry.pulls)) for entry in found.models[: options.most]]
            show(("model", "pulls in 24 h", f"by hour from {begin}"), rows, whole="model")
        _say_use(found, is_shown=bool(found.models))

    return finish(Run(options.place.as_json), "predict show", document, view)


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """The options of `predict evaluate`."""

    trace: Annotated[str | None, _TRACE]
    prometheus: Annotated[str | None, _PROMETHEUS]
    generated: Annotated[Kind | None, option("--generated", help="Learn from generated demand of this kind.")]
    seed: Annotated[
        int | None, option("--seed", type=click.IntRange(0), metavar="N", help="The seed of --generated, instead of 1.")
    ]
    shuffled: Annotated[
        bool, option("--shuffled", help="With --generated: the same wishes at moments by chance, nothing to learn.")
    ]
    picture: Annotated[str | None, option("--picture", metavar="FILE.svg", help="Write a picture of it to a new file.")]
    place: CacheOptions


@predict.command()
@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> int:
    """Try the forecasters on the past, and print how much they erred.

    On each of the last three weeks' days, every forecaster gets what came before, and its next two days are compared
    with what came then. `mase` is the absolute error as a ratio to that of the seasonal-naive forecast, `vs mean` the
    squared error as a ratio to that of the mean, each with an interval of 95 %. A forecaster passes if the intervals
    end below 1 and 0.98. Nothing is kept.
    """
    from orchestrator.predict.learning.backtest import winner

    picture = None if options.picture is None else _new(options.picture)
    generated = _generated(options)
    source = _source(options.trace, options.prometheus, generated)
    settings = shared.settings(options)
    run = Run.warned(settings, as_json=options.place.as_json)
    found = services(settings).predicting.evaluate(source, run.emit)
    from orchestrator.predict.learning.picture import drawn
    from orchestrator.predict.learning.training import reason_of

    best = winner(found.backtest.scores)
    reason = reason_of(found.series, found.backtest.scores, best)
    if picture is not None:
        with on_disk("create", picture), picture.open("x", encoding="utf-8") as file:
            file.write(drawn(f"Backtest on {found.demand}", found.backtest))
    document = EvaluationDocument(
        found.demand,
        found.series.hours,
        found.wishes,
        len(found.series.models),
        best,
        reason,
        scores_of(found.backtest.scores),
        options.picture,
    )

    def view(seen: EvaluationDocument) -> None:
        _show_scores(seen.scores)
        days, models = counted(seen.hours // 24, "day"), counted(seen.models, "model")
        terminal.say(printable(f"{seen.demand}: {counted(seen.wishes, 'pull')} of {models} in {days}; {seen.reason}"))

    return finish(run, "predict evaluate", document, view, run.outcome())


@dataclass(frozen=True, slots=True)
class ExportTraceOptions:
    """The options of `predict export`."""

    out: Annotated[str, argument("OUT")]
    anonymous: Annotated[
        bool, option("--anonymous", help="Without names of models and sources, exact sizes, and dates.")
    ]
    place: CacheOptions


@predict.command()
@takes(ExportTraceOptions)
def export(options: ExportTraceOptions) -> int:
    """Write what was wanted from this cache to the new file OUT, as a trace.

    A trace has a line of JSON for each pull: when, which model, its bytes, those that had to come, from whom, and how
    long it took. With --anonymous names are hashed with a key that nobody keeps, bytes are rounded to two digits, and
    times are moved by whole weeks: the hours of the week stay.
    """
    out = places.absolute(options.out)
    count = services(shared.settings(options)).predicting.export(out, is_anonymous=options.anonymous)

    def view(made: ExportedTraceDocument) -> None:
        terminal.say(printable(f"{counted(made.wishes, 'pull')} written to {made.file}"))

    document = ExportedTraceDocument(str(out), count, options.anonymous)
    return finish(Run(options.place.as_json), "predict export", document, view)


def _source(trace: str | None, prometheus: str | None, generated: Generated | None = None) -> DemandSource:
    if sum(one is not None for one in (trace, prometheus, generated)) > 1:
        raise UsageError("name one demand to learn from, a trace, a Prometheus or a generated one")
    if prometheus is not None:
        try:
            parse_address(prometheus)
        except ValueError as error:
            raise UsageError(f"--prometheus {prometheus!r} {error}", hint="such as http://127.0.0.1:9090") from error
    return DemandSource(None if trace is None else places.absolute(trace), prometheus, generated)


def _generated(options: EvaluateOptions) -> Generated | None:
    if options.generated is not None:
        return Generated(options.generated, 1 if options.seed is None else options.seed, options.shuffled)
    if options.shuffled or options.seed is not None:
        raise UsageError(f"{'--shuffled' if options.shuffled else '--seed'} needs --generated")
    return None


def _new(name: str) -> Path:
    """The path of a file that is made at the end. Raises for one that is there, or has no folder to be in."""
    path = places.absolute(name)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint="make it, or write the picture elsewhere")
    if os.path.lexists(path):
        raise CannotCreateError(f"{name} is there already", file=name, hint="move it away, or name another file")
    return path


def _show_scores(scores: Sequence[ScoreEntry]) -> None:
    if scores:
        rows = [
            (score.forecaster, *_ratio(score.mase), *_ratio(score.flat), "yes" if score.passed else "no")
            for score in scores
        ]
        show(("forecaster", "mase", "95 %", "vs mean", "95 %", "passes"), rows, whole="forecaster")


def _ratio(ratio: RatioEntry) -> tuple[str, str]:
    value, low, high = (
        NOTHING if number is None else f"{number:.2f}" for number in (ratio.value, ratio.low, ratio.high)
    )
    return value, f"{low} to {high}"


def _say_use(found: ForecastDocument, *, is_shown: bool) -> None:
    """Say whether serve acts on a forecast, and why not."""
    if not found.used:
        shown = f"; shown is what {found.forecaster} expects" if is_shown else ""
        terminal.say(f"not used: {found.reason}{shown}")
    elif not found.fresh:
        terminal.say("not used: it was trained more than a day ago; again: glm-aria predict train")
    elif not found.enabled:
        terminal.say(f"{found.reason}; serve acts on it where GLM_ARIA_PREDICT=1 is set")
    else:
        terminal.say(f"used by serve: {found.reason}")
