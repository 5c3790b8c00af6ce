"""Sources of a run's blobs in catalogs of other kinds, which are asked in the background.

A Hub and its mirrors know the same commits, so they need no asking. Another kind (ModelScope) has names, commits and
paths of its own; what it lists with the same digest and size is the same bytes (catalogs/matching.py). Nobody waits for
the answers: `origin` says what is known by now, and a source whose listing comes late joins then.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.matching import Match, match, repos_elsewhere
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Action, Job, ModelPlan
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import GlmAriaError, NotFoundError, SourcesDownError, TemporaryError
from orchestrator.events import Emit, Notice
from orchestrator.system.threads import start

_ASKERS = 8


@dataclass(frozen=True, slots=True)
class _Question:
    """A question to a catalog about the files of one repo of another kind, or of its `twin` there."""

    catalog: Catalog
    repo: RepoId
    kind: Dialect
    files: tuple[RepoFile, ...]
    twin: Ref | None = None


class OtherCatalogs:
    """The origins of a run's blobs, those of the plan and those that other catalogs list. Thread-safe.

    Restricted repos are nobody else's business: not even their names are told. What a mirror does not hold is told
    once for each mirror and model.
    """

    def __init__(self, plans: Iterable[ModelPlan], sites: Sites, emit: Emit) -> None:
        self._emit = emit
        self._sites = sites
        self._lock = threading.Lock()
        self._found: dict[tuple[Digest, str], Origin] = {}
        self._twins: dict[Digest, Origin] = {}
        self._down: set[Source] = set()
        self._unanswered: list[_Question] = []
        self._closed = False
        self._questions: queue.SimpleQueue[_Question] = queue.SimpleQueue()
        self._begin([question for plan in plans for question in _questions(plan, sites)])

    def _begin(self, asked: Sequence[_Question]) -> None:
        for question in asked:
            self._questions.put(question)
        for number in range(min(_ASKERS, len(asked))):
            # Daemons: a mirror that is slow to answer must not keep the program from ending.
            try:
                start(threading.Thread(target=self._work, name=f"catalogs-{number}", daemon=True))
            except GlmAriaError:  # fewer ask; and where none can, nothing is known
                break

    def origin(self, job: Job, source: Source) -> Origin | None:
        """The place of the job's blob at `source`, if known by now; None, too, if the source may not be asked about it.

        Never blocks.
        """
        for origin in job.origins:
            if origin.site is not None and origin.holds_for(source):
                return origin
        with self._lock:
            twin = self._twins.get(job.digest)
        if twin is not None and twin.holds_for(source):
            return twin
        if not self._sites.may_hear(source, job.origins[0].kind, is_restricted=job.is_restricted):
            return None
        for origin in job.origins:
            if origin.holds_for(source):
                return origin
        with self._lock:
            return self._found.get((job.digest, source.name))

    def ask_again(self) -> None:
        """Ask those that were down once more about what they left unanswered. Does not block."""
        with self._lock:
            unanswered, self._unanswered = self._unanswered, []
            self._down.clear()
        self._begin(unanswered)

    def close(self) -> None:
        """From now on nothing is asked or told any more."""
        with self._lock:
            self._closed = True

    # -- the asking threads

    def _work(self) -> None:
        while not self._closed:
            try:
                question = self._questions.get_nowait()
            except queue.Empty:
                return
            if question.twin is not None:
                self._ask_twin(question, question.twin)
                continue
            found, notice = self._ask(question)
            with self._lock:
                if self._closed:
                    return
                self._found.update(found)
            # A model of the other kind does not need the root: what that lacks is no news.
            if notice is not None and not question.catalog.source.is_root:
                self._emit(notice)

    def _ask(self, question: _Question) -> tuple[dict[tuple[Digest, str], Origin], Notice | None]:
        source, name = question.catalog.source, question.repo.name
        with self._lock:
            if source in self._down:
                self._unanswered.append(question)
                return {}, None
        repos = repos_elsewhere(question.repo, question.kind, source.kind, self._sites.aliases)
        is_guess = repos == (question.repo,)
        for there in repos:
            try:
                kind = source.kind
                found = look(question.catalog, Ref(there, kind.main, kind), question.files, source.name)
            except NotFoundError:
                continue
            except GlmAriaError as error:
                return {}, self._failed(question, error)
            if found is None or (is_guess and found.is_unrelated):
                return {}, None
            return {(digest, source.name): origin for digest, origin in found.origins}, _told(source, name, found)
        if is_guess or not repos:
            return {}, None
        message = f"{source.name} has no {repos[0].name!r}, the alias of {name!r}; it is not used for it"
        return {}, _differs(source, message)

    def _ask_twin(self, question: _Question, twin: Ref) -> None:
        """Find the files in the repo that a manifest names. Its word is a hint, so nothing is said when that fails."""
        with suppress(GlmAriaError):
            found = look(question.catalog, twin, question.files, None)
            with self._lock:
                if found is not None and not self._closed:
                    self._twins.update(found.origins)

    def _failed(self, question: _Question, error: GlmAriaError) -> Notice | None:
        source, name = question.catalog.source, question.repo.name
        is_down = isinstance(error, SourcesDownError | TemporaryError)
        with self._lock:
            if is_down:
                self._unanswered.append(question)
            if source in self._down:
                return None
            if is_down:
                self._down.add(source)
        if is_down:
            return Notice("mirror-down", f"{source.name} is skipped: {error.message}", mirror=source.name)
        return _differs(source, f"{source.name} is not used for {name!r}: {error.message}")


def look(catalog: Catalog, ref: Ref, files: Iterable[RepoFile], source: str | None) -> Match | None:
    """The ones of `files` at a ref of another kind of catalog; None if that needs a token. The origins hold for the
    `source` of this name, or for all of the kind.

    Two requests or more. Raises what the catalog raises.
    """
    revision = catalog.revision(ref)
    if revision.is_restricted:
        return None
    return match(files, catalog.tree(ref.repo, revision.commit), ref.repo, ref.catalog, source)


def _questions(plan: ModelPlan, sites: Sites) -> Iterable[_Question]:
    model = plan.model
    files = tuple(
        item.file
        for item in plan.files
        if item.action is Action.FETCH and item.file.digest.algorithm is Algorithm.SHA256 and item.file.size
    )
    twin = model.twin
    if files and twin is not None and twin.catalog in sites.roots:
        yield _Question(sites.roots[twin.catalog], twin.repo, twin.catalog, files, twin)
    # A name in a registry of somebody's own is told to nobody.
    is_own = model.ref.catalog.names_site or model.ref.catalog.has_no_files
    if is_own or model.is_restricted or model.ref.repo.type is not RepoType.MODEL or not files:
        return
    for catalog in sites.others(model.ref.catalog):
        yield _Question(catalog, model.ref.repo, model.ref.catalog, files)


def _told(source: Source, name: str, found: Match) -> Notice | None:
    if not found.differences:
        return None
    rest = "the rest of it is used" if found.origins else "it is not used for it"
    return _differs(source, f"{source.name} differs in {name!r}: {found.describe()}; {rest}")


def _differs(source: Source, message: str) -> Notice:
    return Notice("mirror-differs", message, mirror=source.name)
