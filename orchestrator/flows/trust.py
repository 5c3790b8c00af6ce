"""Who is asked for a commit and its listing, and when the answer is believed: one method for each policy.

The rules of agreement and of commits that go back are in `core/trust.py`, the proof of a commit in
`core/commit_chain.py`; decision records 22 and 23 have the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.commit_chain import Chain, follow, misfit
from orchestrator.core.refs import CatalogKind, Ref, RepoId
from orchestrator.core.trust import Level, Policy, Seen, Trust, Voice, agreement, rollback
from orchestrator.errors import GlmAriaError, NotFoundError, SourcesDownError, TemporaryError, TrustError
from orchestrator.events import Emit, Notice
from orchestrator.flows.request import Item, PullRequest
from orchestrator.flows.tools import Tools
from orchestrator.store.records import Record

_AT_ONCE = 8
# How a root shows that it is not there. What else it may say (no such repo, not allowed, a bad certificate) is an
# answer, and nobody else is asked.
_ABSENT = (SourcesDownError, TemporaryError)


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit, what is known of it, and its date in unix seconds where somebody told it."""

    commit: str
    record: Record
    modified: float | None = None


def root_of(tools: Tools, ref: Ref) -> str:
    """Address of the site that is asked first for such refs; the history of commits is kept by it."""
    return tools.catalogs[ref.catalog].source.url


@dataclass(frozen=True, slots=True)
class Question:
    """What does this item's ref stand for? `answer` asks whom the policy of the request believes."""

    item: Item
    request: PullRequest
    tools: Tools
    emit: Emit
    on_unknown: Callable[[], None]

    def answer(self) -> Listing:
        """The commit and its listing. Raises TrustError when the policy cannot be kept, and what catalogs raise."""
        policy = self.request.policy
        if policy is Policy.COMMIT:
            return self._proven()
        if policy is Policy.ROOT and not self._first.source.is_root:
            raise TrustError(
                f"{self.ref} is listed by {self._first.source.name} alone, and --trust root believes the root only",
                hint="choose another --trust for it",
            )
        try:
            return self._from_first()
        except _ABSENT as error:
            mirrors = self._mirrors(CatalogKind.HUGGINGFACE)
            if policy is Policy.ROOT and isinstance(error, SourcesDownError):
                raise self._refused(error, "--trust root believes nobody else") from error
            # Nobody stands in for a catalog that the ref names, and what is only busy is worth waiting for.
            if not self._first.source.is_root or not mirrors or policy is Policy.ROOT:
                raise
            return self._agreed(error) if policy is Policy.AGREE else self._any(mirrors, error)

    @property
    def ref(self) -> Ref:
        """What is asked about."""
        return self.item.ref

    # -- the policies

    def _from_first(self) -> Listing:
        """The root's word, or for `ms://` that of the catalog which the ref names."""
        catalog = self._first
        revision = self._ask(catalog)
        self._refuse_rollback(catalog, revision)
        level = Level.ROOT if catalog.source.is_root else Level.SINGLE
        return self._listed(catalog, revision, Trust(level, catalog.source.url))

    def _agreed(self, error: GlmAriaError) -> Listing:
        """Two independent catalogs that say the same."""
        catalogs = (*self._mirrors(CatalogKind.HUGGINGFACE), *self._mirrors(CatalogKind.MODELSCOPE))
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="agree")
        try:
            heard = [found for found in pool.map(self._hear, catalogs) if found is not None]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        voices = [voice for _, _, voice in heard]
        found = agreement(voices, self._first.source, self.item.include, self.item.exclude)
        if found.voice is None or found.other is None:
            raise self._refused(error, f"no two others confirm each other: {'; '.join(found.reasons)}") from error
        for voice in voices:
            if voice is not found.other and voice.tree.commit == found.voice.tree.commit:
                self._name_liar(voice, found.voice)
        catalog, revision, _ = next(one for one in heard if one[2] is found.voice)
        self._refuse_rollback(catalog, revision)
        trust = Trust(Level.AGREE, catalog.source.url, (found.other.source.url,))
        return Listing(revision.commit, Record(found.voice.tree, trust, revision.is_restricted), revision.modified)

    def _any(self, mirrors: tuple[Catalog, ...], error: GlmAriaError) -> Listing:
        """The word of the first mirror that answers with a commit which is not older than what was seen."""
        refused: list[GlmAriaError] = []
        for catalog in mirrors:
            try:
                revision = self._ask(catalog)
                self._refuse_rollback(catalog, revision)
                listing = self._listed(catalog, revision, Trust(Level.SINGLE, catalog.source.url))
            except GlmAriaError as reason:
                refused.append(reason)
                continue
            name = catalog.source.name
            message = f"the root did not answer; commit and digests of {self.ref} are the word of {name} alone"
            self.emit(Notice("single-source", message, mirror=name))
            return listing
        raise next((reason for reason in refused if isinstance(reason, TrustError)), error)

    def _proven(self) -> Listing:
        """Anybody's listing that the commit itself proves; the mirrors are asked first."""
        ref = self.ref
        if not ref.is_commit or ref.catalog is not CatalogKind.HUGGINGFACE:
            kind = "ModelScope's commits are not those of git" if ref.is_commit else "it does not name a commit"
            raise TrustError(
                f"--trust commit cannot prove {ref}: {kind}",
                hint=f"glm-aria pull {ref.repo.url_path}@COMMIT --trust commit, with the 40 digits of the commit",
            )
        known = self.tools.records.load(ref.repo, ref.revision)
        if known and known.trust.level == Level.COMMIT:
            return Listing(ref.revision, known)
        self.on_unknown()
        refused: list[GlmAriaError] = []
        answers = self._answers(refused)
        proof, prover, heard = self._chain(answers, refused)
        liars: list[str] = []
        for catalog, revision in chain(heard, answers):
            try:
                tree = catalog.tree(ref.repo, ref.revision)
            except GlmAriaError as error:
                refused.append(error)
                continue
            wrong = misfit(proof, tree)
            if wrong is None:
                trust = Trust(Level.COMMIT, catalog.source.url, (prover,))
                return Listing(ref.revision, Record(tree, trust, revision.is_restricted), revision.modified)
            lie = f"{catalog.source.name} lies about {wrong.path!r}: it {wrong.reason}"
            liars.append(lie)
            self.emit(Notice("mirror-lied", f"{lie}; its listing is not used", catalog.source.name, wrong.path))
        if not liars:
            raise refused[-1]
        raise TrustError(
            f"no listing of {ref} fits its commit: {'; '.join(liars)}; nothing was fetched",
            hint="name another mirror with --mirror, or take the root's word: --trust root",
        )

    def _answers(self, refused: list[GlmAriaError]) -> Iterator[tuple[Catalog, Revision]]:
        """Mirrors, then the root, as far as they know the commit; each is asked when its turn comes."""
        for catalog in (*self._mirrors(CatalogKind.HUGGINGFACE), self._first):
            try:
                yield catalog, self._ask(catalog)
            except GlmAriaError as error:
                refused.append(error)

    def _chain(
        self, answers: Iterator[tuple[Catalog, Revision]], refused: list[GlmAriaError]
    ) -> tuple[Chain, str, list[tuple[Catalog, Revision]]]:
        """The proof of the commit, the address of who sent it, and all who answered on the way to it."""
        commit = self.ref.revision
        heard: list[tuple[Catalog, Revision]] = []
        reasons: list[str] = []
        for catalog, revision in answers:
            heard.append((catalog, revision))
            site = catalog.source.url
            # git is not let to follow redirects, so a renamed repo is asked for by its new name.
            repo = RepoId(self.ref.repo.type, revision.name_now)
            try:
                return follow(commit, self.tools.git.objects(f"{site}/{repo.url_path}", commit)), site, heard
            except TrustError:
                raise
            except GlmAriaError as error:
                reasons.append(f"{catalog.source.name}: {error.message}")
        if not heard:
            raise refused[-1]
        raise TrustError(
            f"the commit {commit} cannot be proven, since nobody sent its git objects ({'; '.join(reasons)})",
            hint="name a mirror that serves git with --mirror, or take the root's word: --trust root",
        )

    # -- asking

    @property
    def _first(self) -> Catalog:
        return self.tools.catalogs[self.ref.catalog]

    def _mirrors(self, kind: CatalogKind) -> tuple[Catalog, ...]:
        return tuple(catalog for catalog in self.tools.mirror_catalogs if catalog.source.kind is kind)

    def _ask(self, catalog: Catalog) -> Revision:
        revision = catalog.revision(self.ref)
        if revision.name_now != self.ref.repo.name:
            name = self.ref.repo.name
            self.emit(Notice("renamed", f"{name} is now called {revision.name_now}; it is kept under the old name"))
        return revision

    def _listed(self, catalog: Catalog, revision: Revision, trust: Trust) -> Listing:
        """The listing of a commit: a record of equal or better standing, else what the catalog says."""
        known = self.tools.records.load(self.ref.repo, revision.commit)
        # What another site listed is not taken for what this one says, unless it was the root, or proven.
        is_good = known and (
            known.trust in (trust, Trust(Level.ROOT, root_of(self.tools, self.ref)))
            or known.trust.level == Level.COMMIT
        )
        if known is None or not is_good:
            self.on_unknown()
            known = Record(catalog.tree(self.ref.repo, revision.commit), trust)
        return Listing(revision.commit, Record(known.tree, trust, revision.is_restricted), revision.modified)

    def _hear(self, catalog: Catalog) -> tuple[Catalog, Revision, Voice] | None:
        """What a mirror says; None when it says nothing. ModelScope is asked by the name that it has there."""
        ref = self.ref
        if catalog.source.kind is CatalogKind.MODELSCOPE:
            name = self.tools.aliases.get(ref.repo.name, ref.repo.name)
            if ref.revision != "main" or "/" not in name:
                return None
            ref = replace(ref, repo=RepoId(ref.repo.type, name), revision="master", catalog=CatalogKind.MODELSCOPE)
        try:
            revision = catalog.revision(ref)
            tree = catalog.tree(ref.repo, revision.commit)
        except GlmAriaError as error:
            if not isinstance(error, NotFoundError):
                self.emit(Notice("mirror-down", f"{catalog.source.name} is not heard: {error.message}"))
            return None
        return catalog, revision, Voice(catalog.source, tree)

    # -- judging

    def _refuse_rollback(self, catalog: Catalog, revision: Revision) -> None:
        """Raise TrustError when a branch went back. A tag that moved, in whatever direction, is only told."""
        ref, tools = self.ref, self.tools
        seen = tools.records.history(ref.repo, ref.revision, root_of(tools, ref))
        if ref.is_commit or not seen or seen[-1].commit == revision.commit:
            return
        if ref.revision not in ("main", "master") and catalog.is_tag(ref):
            message = f"the tag {ref} moved from {seen[-1].commit[:12]} to {revision.commit[:12]}"
            self.emit(Notice("tag-moved", message))
            return
        by_root = catalog.source == self._first.source
        reason = rollback(seen, Seen(revision.commit, revision.modified), by_root=by_root)
        if reason is None:
            return
        said = f"{catalog.source.name} says that {ref} is {reason}"
        if not self.request.allow_rollback:
            raise TrustError(
                f"{said}; nothing was changed",
                hint="a site that is behind, or one that hides a fix, answers so; if it is right: --allow-rollback",
                source=catalog.source.name,
            )
        self.emit(Notice("rolled-back", f"{said}; accepted, as --allow-rollback asks", mirror=catalog.source.name))

    def _name_liar(self, voice: Voice, agreed: Voice) -> None:
        """Warn of a mirror that lists a wanted file otherwise, at the same commit, than those who agree."""
        item = self.item
        told, true = (
            {(file.path, file.digest, file.size) for file in tree.select(item.include, item.exclude).files}
            for tree in (voice.tree, agreed.tree)
        )
        if told != true:
            path, name = min(told ^ true)[0], voice.source.name
            message = f"{name} lists {path!r} unlike two others that agree; its listing is not used"
            self.emit(Notice("mirror-lied", message, name, path))

    def _refused(self, error: GlmAriaError, why: str) -> TrustError:
        mirror = next((c.source.url for c in self._mirrors(CatalogKind.HUGGINGFACE)), None)
        instead = f"; or make a mirror the root: --root {mirror or 'URL'}"
        return TrustError(
            f"the root does not answer ({error.message}), and {why}; nothing was fetched",
            hint=f"run it again later; take the word of a single mirror: --trust any{instead}",
            source=self._first.source.name,
        )
