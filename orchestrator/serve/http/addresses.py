"""Addresses as the faces read them: their parts, and the repo and revision that these name. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import parse_qs, unquote

from orchestrator.core.dialects import DEFAULT, OWN, Dialect
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.errors import UsageError
from orchestrator.serve.http.refusals import Refused

_LONGEST = 8192
"""Bytes of a path, and of a query."""


def segments(raw_path: bytes) -> tuple[str, ...]:
    """The parts of a path as it was sent: `refs%2Fpr%2F1` is one of them. Raises Refused."""
    if len(raw_path) > _LONGEST:
        raise Refused(414, "the address is too long")
    try:
        return tuple(unquote(part, errors="strict") for part in raw_path.decode("ascii").strip("/").split("/"))
    except UnicodeDecodeError:
        raise Refused(400, "the address is not UTF-8") from None


def parameters(query_string: bytes) -> dict[str, str]:
    """The parameters of a query, the first of a name. Raises Refused, also for more than a hundred of them."""
    try:
        found = parse_qs(query_string[:_LONGEST].decode("ascii"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "the query cannot be read") from None
    return {name: values[0] for name, values in found.items()}


def is_set(query: Mapping[str, str], name: str) -> bool:
    """True for a parameter that says yes."""
    return query.get(name, "").lower() in ("true", "1")


def number(query: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of at most nine digits. Raises Refused."""
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise Refused(400, f"{name} is no whole number of at most nine digits")
    return int(text)


def repo_at(kind: RepoType, parts: Sequence[str]) -> RepoId:
    """The repo that these parts name. Raises Refused."""
    try:
        return RepoId(kind, "/".join(parts))
    except UsageError as error:
        raise Refused(404, error.message, "RepoNotFound") from None


def ref_at(repo: RepoId, revision: str, catalog: Dialect = DEFAULT) -> Ref:
    """The repo at a revision; of one that only a registry's models can have (`^1.2`), as a model there. Raises
    Refused."""
    for one in (catalog, OWN):
        with suppress(UsageError):
            return Ref(repo, revision, one)
    raise Refused(404, f"{revision!r} is not a revision", "RevisionNotFound")
