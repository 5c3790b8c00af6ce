"""The status of a set, for people, controllers and Prometheus. Plain values; no I/O."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.text import redacted
from orchestrator.desired.sets import SCHEMA
from orchestrator.documents import Amount, Count, decode

ALIVE = 60.0
"""Seconds without a word, or a turn of its loop, after which a follower counts as stuck or gone."""


class SetPhase(StrEnum):
    """The phase of a set; the values are those of the JSON schema."""

    READY = "ready"
    STAGING = "staging"
    WAITING = "waiting"  # for a source, or for a time at which new models may be fetched
    DEGRADED = "degraded"  # something is missing in the set of readers, and is being fetched
    FAILED = "failed"  # the newest set cannot be had now; readers keep the last one


class ModelStage(StrEnum):
    """The phase of a model of a set; the values are those of the JSON schema."""

    READY = "ready"
    WAITING = "waiting"
    FETCHING = "fetching"
    VERIFYING = "verifying"
    FAILED = "failed"


class SourceState(StrEnum):
    """The state of a source; the values are those of the JSON schema."""

    FRESH = "fresh"
    STALE = "stale"  # it cannot be asked; its last good state counts
    INVALID = "invalid"  # what it has cannot be used; its last good state counts
    WAITING = "waiting"  # it has not been asked yet


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source. `looked` is the last time that it answered, `next` the next look, in unix seconds."""

    source: str
    revision: str | None
    state: str
    error: str | None
    looked: Amount | None
    next: Amount | None


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model of the newest set. `since` is when it entered its phase, in unix seconds."""

    name: str
    ref: str
    commit: str | None
    phase: str
    reason: str | None
    since: Amount
    bytes: Count
    bytes_to_go: Count


@dataclass(frozen=True, slots=True)
class SetStatus:
    """A set. `generation` counts the wishes, `observed_generation` is that of what readers have; `digest` names the
    newest set, `current` that of readers, and `path` is its folder. Times are unix seconds; by `expires` a follower
    that lives has said more, and None is the last word of one that ran once."""

    schema: str
    set: str
    node: str
    version: str
    labels: Mapping[str, str]
    generation: Count
    observed_generation: Count
    phase: str
    reason: str | None
    since: Amount
    digest: str | None
    current: str | None
    path: str | None
    bytes_to_go: Count
    drift: Count
    flips: Count
    updated: Amount
    expires: Amount | None
    sources: tuple[SourceStatus, ...]
    models: tuple[ModelStatus, ...]

    @property
    def is_ready(self) -> bool:
        """True when readers have what is desired."""
        return self.phase == SetPhase.READY and self.generation == self.observed_generation

    def silence(self, now: float) -> float | None:
        """Seconds since the last word of a follower that says no more; None where it is in time."""
        return None if self.expires is None or now <= self.expires else now - self.updated


@dataclass(frozen=True, slots=True)
class WatchedSetDocument:
    """The data of `watch` for a desired state: a set, and no list."""

    set: SetStatus
    watches: tuple[str, ...] = ()


def render(status: SetStatus) -> str:
    """The text of `status.json` and of `/status`."""
    return json.dumps(dataclasses.asdict(status), indent=1, ensure_ascii=False) + "\n"


def parse_status(data: object) -> SetStatus:
    """A status of another node, as far as it is one. Raises any of `disk.state_file.UNREADABLE`."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError("no status of a set")
    # A node of an older version does not say when its word expires.
    return decode(SetStatus, _shown({"expires": None, **data}))


def _shown(value: object) -> object:
    """JSON of another node, with texts that may be shown."""
    if isinstance(value, dict):
        return {redacted(str(key)): _shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def metrics(status: SetStatus, now: float) -> str:
    """The same for Prometheus, in its text format."""
    phases = Counter(model.phase for model in status.models)
    name = _label(status.set)
    rows: list[tuple[str, str, str, list[tuple[dict[str, str], float]]]] = [
        ("generation", "gauge", "Wishes that this node has seen.", [({}, status.generation)]),
        ("observed_generation", "gauge", "The wish that readers have.", [({}, status.observed_generation)]),
        ("ready", "gauge", "1 when readers have what is desired.", [({}, int(status.is_ready))]),
        ("bytes_to_go", "gauge", "Bytes that are still to be fetched.", [({}, status.bytes_to_go)]),
        ("updated_seconds", "gauge", "When the follower last said so, in unix seconds.", [({}, status.updated)]),
        ("drift_total", "counter", "Files that were lost or wrong, and were fetched again.", [({}, status.drift)]),
        ("flips_total", "counter", "Sets that readers were given.", [({}, status.flips)]),
        ("phase", "gauge", "The phase of the set.", [({"phase": one}, int(one == status.phase)) for one in SetPhase]),
        ("models", "gauge", "Models by their phase.", [({"phase": one}, phases[one]) for one in ModelStage]),
        (
            "source_up",
            "gauge",
            "1 when the last look at a source was answered with something that can be used.",
            [({"source": one.source}, int(one.state == SourceState.FRESH)) for one in status.sources],
        ),
        (
            "source_age_seconds",
            "gauge",
            "Since a source answered last.",
            [({"source": one.source}, now - one.looked) for one in status.sources if one.looked is not None],
        ),
    ]
    lines: list[str] = []
    for metric, kind, text, samples in rows:
        full = f"glm_aria_set_{metric}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
        for labels, value in samples:
            pairs = "".join(f',{key}="{_label(told)}"' for key, told in labels.items())
            lines.append(f'{full}{{set="{name}"{pairs}}} {value}')
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
