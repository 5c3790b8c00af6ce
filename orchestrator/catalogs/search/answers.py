"""Fields of the repos that sites find: all are optional, and what is odd counts as not told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.files import MAX_FILE
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotAllowedError, ProtocolError, UsageError
from orchestrator.net import hints, shapes
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net

_LONGEST = 100
_MILLISECONDS = 1e12
"""A moment beyond that is no number of seconds: the year would be 33658."""


def ask(net: Net, source: Source, url: str) -> Answer:
    """An answer of 200. Raises what `Searcher` does."""
    with blaming(source.name):
        answer = net.get_json(url)
    if answer.status == 200:
        return answer
    raise _refusal(net, source, answer)


def _refusal(net: Net, source: Source, answer: Answer) -> GlmAriaError:
    if answer.status in (401, 403):
        had_token = net.credentials.may_send(answer.url)
        words = f"{source.name} does not accept the token" if had_token else f"{source.name} wants a token for searches"
        return NotAllowedError(words, hint=hints.login(source.url), source=source.name)
    return ProtocolError(
        f"{source.name} cannot search (HTTP {answer.status})",
        hint="name a site that can: glm-aria search … --root https://huggingface.co",
        source=source.name,
    )


def repo_of(kind: RepoType, name: object) -> RepoId | None:
    """The repo of a name; None for what is no name, which `pull` would refuse."""
    try:
        return RepoId(kind, name) if isinstance(name, str) else None
    except UsageError:
        return None


def count(value: object) -> int | None:
    """A number of things."""
    return value if type(value) is int and 0 <= value <= MAX_FILE else None


def size(value: object) -> int | None:
    """Bytes of a repo, which may be more than those of a file."""
    return value if type(value) is int and 0 <= value <= MAX_FILE * 64 else None


def moment(value: object) -> float | None:
    """A date as ISO 8601 has it, or in seconds or milliseconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shapes.moment(value)
    # Compared first: a whole number of JSON may be more than any float.
    if not 0 < value < _MILLISECONDS * 1000:
        return None
    return float(value / 1000 if value > _MILLISECONDS else value)


def word(entry: Mapping[str, Any], key: str) -> str:
    """A short text; "" without one."""
    value = entry.get(key)
    return value[:_LONGEST] if isinstance(value, str) else ""
