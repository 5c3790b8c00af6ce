"""`--trust commit`: anybody's listing that the commit itself proves. The chain is in `catalogs/commit_chain.py`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from orchestrator.cache.records import Record
from orchestrator.catalogs.commit_chain import Chain, follow, misfit
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.refs import RepoId
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, ProtocolError, TemporaryError, TrustError
from orchestrator.events import Notice
from orchestrator.resolve.question import REFUSALS, Listing, Question


def known(question: Question) -> Listing | None:
    """The listing on record, where it was proven before. Raises TrustError for a ref that no commit can prove."""
    ref = question.ref
    if not ref.is_commit or not ref.catalog.has_git_commits:
        kind = f"{ref.catalog.title}'s commits are not those of git" if ref.is_commit else "it does not name a commit"
        raise TrustError(
            f"--trust commit cannot verify {ref}: {kind}",
            hint=f"glm-aria pull {ref.repo.url_path}@COMMIT --trust commit, with the 40 digits of the commit",
        )
    record = question.records.load(ref.repo, ref.revision)
    return Listing(ref.revision, record) if record and record.trust.level == Level.COMMIT else None


def proven(question: Question) -> Listing:
    """Anybody's listing that the commit itself proves; the mirrors are asked first."""
    ref = question.ref
    refused: list[GlmAriaError] = []
    answers = _answers(question, refused)
    proof, prover, heard = _chain(question, answers, refused)
    liars: list[str] = []
    for catalog, revision in chain(heard, answers):
        try:
            tree = catalog.tree(ref.repo, ref.revision)
        except REFUSALS as error:
            refused.append(error)
            continue
        wrong = misfit(proof, tree)
        if wrong is None:
            trust = Trust(Level.COMMIT, catalog.source.url, (prover,))
            return Listing(ref.revision, Record(tree, trust, revision.is_restricted), revision.modified)
        lie = f"{catalog.source.name} lies about {wrong.path!r}: it {wrong.reason}"
        liars.append(lie)
        question.emit(Notice("mirror-lied", f"{lie}; its listing is not used", catalog.source.name, wrong.path))
    if not liars:
        raise refused[-1]
    raise TrustError(
        f"no listing of {ref} matches its commit: {'; '.join(liars)}; nothing was fetched",
        hint="name another mirror with --mirror, or trust the root: --trust root",
    )


def _answers(question: Question, refused: list[GlmAriaError]) -> Iterator[tuple[Catalog, Revision]]:
    """Mirrors, then the root, as far as they know the commit; each is asked when its turn comes."""
    for catalog in (*question.mirrors, question.first):
        try:
            yield catalog, question.ask(catalog)
        except REFUSALS as error:
            refused.append(error)


def _chain(
    question: Question, answers: Iterator[tuple[Catalog, Revision]], refused: list[GlmAriaError]
) -> tuple[Chain, str, list[tuple[Catalog, Revision]]]:
    """The proof of the commit, the address of who sent it, and all who answered on the way to it."""
    commit = question.ref.revision
    heard: list[tuple[Catalog, Revision]] = []
    reasons: list[str] = []
    for catalog, revision in answers:
        heard.append((catalog, revision))
        site = catalog.source.url
        # git is not let to follow redirects, so a renamed repo is asked for by its new name.
        repo = RepoId(question.ref.repo.type, revision.name_now)
        try:
            return follow(commit, question.sites.git.objects(f"{site}/{repo.url_path}", commit)), site, heard
        except (ProtocolError, TemporaryError) as error:
            reasons.append(f"{catalog.source.name}: {error.message}")
    if not heard:
        raise refused[-1]
    raise TrustError(
        f"the commit {commit} cannot be verified, since no site sent its git objects ({'; '.join(reasons)})",
        hint="name a mirror that serves git with --mirror, or trust the root: --trust root",
    )
