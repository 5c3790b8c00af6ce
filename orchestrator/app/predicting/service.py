"""The calls of `predict`: demand is read, forecasters are tried on it, and what was trained is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.app.compose import known_state, open_sources, state_of
from orchestrator.app.extras import number_library
from orchestrator.core.text import counted
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.events import Emit, Notice
from orchestrator.predict.anonymous import anonymised
from orchestrator.predict.demand import Demand
from orchestrator.predict.log import DemandLog
from orchestrator.predict.trace import BadLine, read_trace, text_of
from orchestrator.predict.trained import Trained, TrainedFile
from orchestrator.settings import Settings
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import stoppable
from orchestrator.system.small_files import RECORD_BYTES, read_named

if TYPE_CHECKING:
    from orchestrator.predict.learning.backtest import Backtest
    from orchestrator.predict.learning.series import Series

_MOST_LINES = 5


class Generated(NamedTuple):
    """A trace that is generated."""

    kind: str
    seed: int
    is_shuffled: bool


@dataclass(frozen=True, slots=True)
class DemandSource:
    """The demand that is meant: a trace, that of a Prometheus, a generated one; none of them: that of this site."""

    trace: Path | None = None
    prometheus: str | None = None
    generated: Generated | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Forecasters that were tried: on which demand, and how they did."""

    demand: str
    wishes: int
    series: Series
    backtest: Backtest


@dataclass(frozen=True, slots=True)
class PredictServices:
    """The calls for forecasts of demand."""

    settings: Settings

    def train(self, source: DemandSource, emit: Emit) -> Trained:
        """Try the forecasters on the demand until now, and keep the forecast of the best; returns what is kept."""
        with number_library():
            from orchestrator.predict.learning.series import series_of
            from orchestrator.predict.learning.training import train

        now = time.time()
        _, demands = self._read(source, emit, now)
        trained = train(series_of(demands, now))
        TrainedFile(state_of(self.settings)).save(trained)
        return trained

    def trained(self) -> Trained:
        """The last training. Raises NotFoundError without one."""
        found = TrainedFile(known_state(self.settings)).read()
        if found is None:
            raise NotFoundError("nothing was trained for this cache yet", hint="glm-aria predict train")
        return found

    def evaluate(self, source: DemandSource, emit: Emit) -> Evaluation:
        """Try the forecasters on a demand; keeps nothing."""
        with number_library():
            from orchestrator.predict.learning.backtest import backtest
            from orchestrator.predict.learning.series import series_of

        now = time.time()
        name, demands = self._read(source, emit, now)
        series = series_of(demands, None if source.trace or source.generated else now)
        return Evaluation(name, len(demands), series, backtest(series))

    def export(self, out: Path, *, is_anonymous: bool) -> int:
        """Write the demand of this site to a new file, and return how many wishes these are."""
        demands = DemandLog(known_state(self.settings)).read()
        text = text_of(anonymised(demands) if is_anonymous else demands)
        with on_disk("create", out), out.open("x", encoding="utf-8") as file:
            file.write(text)
        return len(demands)

    def _read(self, source: DemandSource, emit: Emit, now: float) -> tuple[str, tuple[Demand, ...]]:
        """The name of a demand, and its wishes."""
        if source.generated is not None:
            return _generated(source.generated)
        if source.trace is not None:
            return str(source.trace), _of_file(source.trace, emit)
        if source.prometheus is not None:
            return source.prometheus, self._of_prometheus(source.prometheus, now)
        return "this site", DemandLog(known_state(self.settings)).read()

    def _of_prometheus(self, url: str, now: float) -> tuple[Demand, ...]:
        from orchestrator.predict.prometheus import demand_at

        with stoppable() as stop, open_sources(self.settings, known_state(self.settings), stop, keep=False) as sources:
            return demand_at(url, sources.patient, now)


def _generated(wanted: Generated) -> tuple[str, tuple[Demand, ...]]:
    with number_library():
        from orchestrator.predict.learning.generate import generate, shuffled

    demands = generate(wanted.kind, wanted.seed)
    name = f"generated {wanted.kind}, seed {wanted.seed}"
    return (f"{name}, shuffled", shuffled(demands, wanted.seed)) if wanted.is_shuffled else (name, demands)


def _of_file(path: Path, emit: Emit) -> tuple[Demand, ...]:
    try:
        trace = read_trace(read_named(path, RECORD_BYTES))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no trace: {error}", hint="glm-aria predict export OUT.jsonl writes one") from error
    if trace.bad:
        emit(Notice("trace-lines", _told(path, trace.bad), file=str(path)))
    return trace.demands


def _told(path: Path, bad: Sequence[BadLine]) -> str:
    shown = "; ".join(f"line {line.number}: {line.reason}" for line in bad[:_MOST_LINES])
    more = f"; and {len(bad) - _MOST_LINES} more" if len(bad) > _MOST_LINES else ""
    return f"{path}: {counted(len(bad), 'line')} left out: {shown}{more}"
