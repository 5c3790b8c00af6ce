"""Policies for a commit and its listing: one function for each.

The rules of agreement and of commits that go back are in `core/trust.py`; decision records 22 and 23 have the reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from orchestrator.cache.records import Record
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.registries import is_sha256
from orchestrator.core.trust import Level, Policy, Trust, Voice, agreement
from orchestrator.errors import GlmAriaError, ProxyError, SourcesDownError, TemporaryError, TrustError
from orchestrator.events import Notice
from orchestrator.resolve import commit_proof
from orchestrator.resolve.question import REFUSALS, Listing, Question
from orchestrator.system.threads import Step, at_once

_AT_ONCE = 8
# How a root shows that it is not there. What else it may say (no such repo, not allowed, a bad certificate) is an
# answer, and nobody else is asked.
_ABSENT = (SourcesDownError, TemporaryError)


def ask(question: Question) -> Listing | Callable[[], Listing]:
    """The commit and its listing; where somebody still has to be asked for the listing, the call that asks.

    Both raise TrustError when the policy cannot be kept, and what catalogs raise.
    """
    policy = question.request.policy
    is_digest = is_sha256(question.ref.revision)
    if policy is Policy.COMMIT and not is_digest:
        return commit_proof.known(question) or partial(commit_proof.proven, question)
    first = question.first
    if policy is Policy.ROOT and not first.source.is_root:
        raise TrustError(
            f"{question.ref} is listed by {first.source.name} alone, and --trust root trusts only the root",
            hint="choose another --trust for it",
        )
    # For `ms://` it is the word of the catalog which the ref names.
    trust = Trust(Level.ROOT if first.source.is_root else Level.SINGLE, first.source.url)
    try:
        revision = question.ask(first)
    except _ABSENT as error:
        return _without_first(question, error)
    question.refuse_rollback(first, revision)
    if is_digest and revision.pinned is not None:
        # Its manifest had the digest that the ref names, so the listing is proven, from anybody.
        trust = Trust(Level.COMMIT, first.source.url, (first.source.url,))
    return question.known(revision, trust) or partial(_listed_by_first, question, revision, trust)


def _listed_by_first(question: Question, revision: Revision, trust: Trust) -> Listing:
    try:
        return question.listed(question.first, revision, trust)
    except _ABSENT as error:
        return _without_first(question, error)


def _without_first(question: Question, error: GlmAriaError) -> Listing:
    """The fallback of the policy if the first catalog does not answer; raises `error` if there is none."""
    policy, mirrors = question.request.policy, question.mirrors
    if policy is Policy.ROOT and isinstance(error, SourcesDownError) and not isinstance(error, ProxyError):
        raise _refused(question, error, "--trust root trusts no other site") from error
    # Nobody stands in for a catalog that the ref names, and what is only busy is worth waiting for.
    if not question.first.source.is_root or not mirrors or policy is Policy.ROOT:
        raise error
    return _agreed(question, error) if policy is Policy.AGREE else _any(question, mirrors, error)


def _agreed(question: Question, error: GlmAriaError) -> Listing:
    """Two independent catalogs that say the same."""
    catalogs = (*question.mirrors, *question.others)
    steps = [Step(catalog.source.name, partial(question.hear, catalog)) for catalog in catalogs]
    at_once(steps, most=_AT_ONCE, name="agree")
    heard = [answer for step in steps if (answer := step.result()) is not None]
    if not heard and isinstance(error, ProxyError):
        raise error  # nobody is out of reach but the proxy: that is what there is to mend
    voices = [voice for _, _, voice in heard]
    found = agreement(voices, question.first.source, question.item.select)
    if found.voice is None or found.other is None:
        refused = _refused(question, error, f"no two others confirm each other: {'; '.join(found.reasons)}")
        if isinstance(error, TemporaryError):
            # A root that is only busy is worth another try, before anybody is believed with less reason.
            if heard:
                error.hint = refused.hint
            raise error
        raise refused from error
    for voice in voices:
        if voice is not found.other and voice.tree.commit == found.voice.tree.commit:
            _name_liar(question, voice, found.voice)
    catalog, revision, _ = next(one for one in heard if one[2] is found.voice)
    question.refuse_rollback(catalog, revision)
    trust = Trust(Level.AGREE, catalog.source.url, (found.other.source.url,))
    return Listing(revision.commit, Record(found.voice.tree, trust, revision.is_restricted), revision.modified)


def _any(question: Question, mirrors: tuple[Catalog, ...], error: GlmAriaError) -> Listing:
    """The word of the first mirror that answers with a commit which is not older than what was seen."""
    refused: list[GlmAriaError] = []
    for catalog in mirrors:
        try:
            revision = question.ask(catalog)
            question.refuse_rollback(catalog, revision)
            listing = question.listed(catalog, revision, Trust(Level.SINGLE, catalog.source.url))
        except REFUSALS as reason:
            refused.append(reason)
            continue
        name = catalog.source.name
        message = f"the root did not answer; commit and digests of {question.ref} are the word of {name} alone"
        question.emit(Notice("single-source", message, mirror=name))
        return listing
    raise next((reason for reason in refused if isinstance(reason, TrustError)), error)


def _name_liar(question: Question, voice: Voice, agreed: Voice) -> None:
    """Warn of a mirror that lists a wanted file otherwise, at the same commit, than those who agree."""
    told, true = (
        {(file.path, file.digest, file.size) for file in question.item.select(tree).files}
        for tree in (voice.tree, agreed.tree)
    )
    if told != true:
        path, name = min(told ^ true)[0], voice.source.name
        message = f"{name} lists {path!r} unlike two others that agree; its listing is not used"
        question.emit(Notice("mirror-lied", message, name, path))


def _refused(question: Question, error: GlmAriaError, why: str) -> TrustError:
    mirror = next((c.source.url for c in question.mirrors), None)
    instead = f"; or make a mirror the root: --root {mirror or 'URL'}"
    return TrustError(
        f"the root does not answer ({error.message}), and {why}; nothing was fetched",
        hint=f"run it again later, or trust a single mirror: --trust any{instead}",
        source=question.first.source.name,
    )
