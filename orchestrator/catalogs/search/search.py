"""The search itself: all kinds of sites at once, and one row for a repo that several of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from orchestrator.catalogs.search.interface import Hit, Query, Searcher
from orchestrator.core.dialects import Dialect
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.system.threads import Step, at_once

_AT_ONCE = 8
"""Sizes that are asked for beside each other: a Hub counts requests, and each of its users shares a line."""
_PATIENCE = 20.0
"""Seconds for all sizes; what is late stays an estimate, or unknown."""


@dataclass(frozen=True, slots=True)
class Row:
    """A repo as the first kind of site that has it tells it, and as the others do."""

    hit: Hit
    others: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer of one site of a kind, and those before it that could not be asked."""

    searcher: Searcher | None
    hits: tuple[Hit, ...]
    passed: tuple[tuple[Searcher, GlmAriaError], ...]


def search(
    query: Query, sites: Sequence[Sequence[Searcher]], aliases: Mapping[str, str], *, measure: bool, emit: Emit
) -> tuple[Row, ...]:
    """Search; of each kind in `sites` the first site that answers is asked, in their order.

    `aliases` are names at a Hub -> names elsewhere. With `measure` sizes are exact where a site tells them. Each kind
    has its own order, and they are merged place by place. Each site that cannot be asked is a notice. Raises the error
    of the first one when no site of any kind answered.
    """
    steps = [Step(of_kind[0].source.name, partial(_first, of_kind, query)) for of_kind in sites]
    at_once(steps, name="search")
    found = [step.result() for step in steps]
    if all(answer.searcher is None for answer in found):
        raise found[0].passed[0][1]
    for answer in found:
        for searcher, error in answer.passed:
            emit(_passed_over(searcher, error, answer))
    rows = _merged([answer.hits for answer in found], aliases)[: query.limit]
    if not measure:
        return rows
    return _measured(rows, {answer.searcher.source.kind: answer.searcher for answer in found if answer.searcher})


def _first(of_kind: Sequence[Searcher], query: Query) -> _Answer:
    passed: list[tuple[Searcher, GlmAriaError]] = []
    for searcher in of_kind:
        try:
            return _Answer(searcher, searcher.find(query), tuple(passed))
        except GlmAriaError as error:
            passed.append((searcher, error))
    return _Answer(None, (), tuple(passed))


def _passed_over(searcher: Searcher, error: GlmAriaError, answer: _Answer) -> Notice:
    source = searcher.source
    if answer.searcher is None:
        return Notice("not-searched", f"{source.name} was not searched: {error.message}", source.name)
    instead = answer.searcher.source.name
    return Notice("passed-over", f"{instead} was searched instead of {source.name}: {error.message}", source.name)


def _merged(found: Sequence[Sequence[Hit]], aliases: Mapping[str, str]) -> tuple[Row, ...]:
    """One row for each repo: what is at the same place stands in the order of the kinds."""
    own = {elsewhere.lower(): name.lower() for name, elsewhere in aliases.items()}
    rows: dict[tuple[str, str], list[Hit]] = {}
    places: dict[tuple[str, str], tuple[int, int]] = {}
    for number, hits in enumerate(found):
        for place, hit in enumerate(hits):
            name = hit.repo.name.lower()
            key = (hit.repo.type.value, own.get(name, name) if hit.kind.has_own_names else name)
            rows.setdefault(key, []).append(hit)
            places[key] = min(places.get(key, (place, number)), (place, number))
    return tuple(Row(rows[key][0], tuple(rows[key][1:])) for key in sorted(rows, key=lambda key: places[key]))


def _measured(rows: Sequence[Row], asked: Mapping[Dialect, Searcher]) -> tuple[Row, ...]:
    steps = [Step(row.hit.ref, partial(asked[row.hit.kind].measure, row.hit)) for row in rows]
    at_once(steps, _PATIENCE, most=_AT_ONCE, name="size")
    return tuple(
        row if step.value is None else replace(row, hit=step.value) for row, step in zip(rows, steps, strict=True)
    )
