"""Refusals of a Hub: from status, `X-Error-Code` and `X-Error-Message` to an error with a hint.

Codes and messages are those that huggingface_hub 2.4 reads (`utils/_http.py`, `hf_raise_for_status`).
"""

from __future__ import annotations

from orchestrator.core.refs import RepoId, RepoType, Target, as_word
from orchestrator.core.sources import Source
from orchestrator.errors import (
    FileAbsentError,
    GatedError,
    GlmAriaError,
    NotAllowedError,
    ProtocolError,
    RepoAbsentError,
    RevisionAbsentError,
)
from orchestrator.net import hints
from orchestrator.net.answers import Answer

_DISABLED = "Access to this resource is disabled."
_REFUSED_CREDENTIALS = "Invalid credentials in Authorization header"


def refusal(answer: Answer, source: Source, repo: RepoId, revision: str, *, had_token: bool) -> GlmAriaError:
    """The error for an answer that is not 200. `had_token` says whether the request carried the token."""
    code = answer.headers.get("X-Error-Code", "")
    message = answer.headers.get("X-Error-Message", "")
    name, site = repo.url_path, source.name
    login = hints.login(source.url)
    if message.strip() == _DISABLED:
        return NotAllowedError(f"{name} was disabled by {site}", source=site)
    if answer.status == 401 and message.startswith(_REFUSED_CREDENTIALS):
        return NotAllowedError(f"{site} does not accept the token", hint=login, source=site)
    if code == "GatedRepo":
        hint = hints.licence(source.url, name, had_token=had_token)
        return GatedError(f"{name} is gated: {site} wants its licence accepted first", hint=hint, source=site)
    if code == "RevisionNotFound":
        return RevisionAbsentError(f"{name} has no revision {revision!r} at {site}", source=site)
    if code == "EntryNotFound":
        return FileAbsentError(f"{name}@{revision} has no such file or folder at {site}", source=site)
    if code == "RepoNotFound" or answer.status in (401, 404):
        words = f"glm-aria search {as_word(Target(RepoId(RepoType.MODEL, name.rpartition('/')[2])))}"
        if repo.type is RepoType.MODEL:
            otherwise = f", or name a dataset as {as_word(Target(RepoId(RepoType.DATASET, repo.name)))}"
        else:
            words, otherwise = f"{words} --type {repo.type.value}", ""
        private = "the account of your token may not see it" if had_token else f"it may be private: {login}"
        return RepoAbsentError(
            f"{name} was not found at {site}",
            hint=f"check the spelling of org/name ({words}){otherwise}; {private}",
            source=site,
        )
    if answer.status == 403:
        hint = "the account of your token lacks the right to read it" if had_token else login
        return NotAllowedError(f"{site} denies access to {name}", hint=hint, source=site)
    return ProtocolError(f"{answer.place} answered HTTP {answer.status}", source=site)
