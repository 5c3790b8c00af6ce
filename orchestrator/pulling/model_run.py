"""One model on its way through a run: how far it got, and the report of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from orchestrator.cache.cache import HfCache
from orchestrator.core.files import Digest
from orchestrator.core.plan import Action, ModelPlan, PlannedFile, ResolvedModel
from orchestrator.core.sources import Sent
from orchestrator.errors import GlmAriaError, Interrupted
from orchestrator.events import Emit, ModelPhase, ModelPlanned, Phase
from orchestrator.folders.local_dir import LocalSurvey, survey_local
from orchestrator.lists.lockfile import LockedModel
from orchestrator.lists.request import Item
from orchestrator.pulling.report import FileReport, FileState, ModelReport
from orchestrator.resolve.locked import lock, refuse_other_bytes
from orchestrator.system.signals import Stop

_ENDED_AS = {Action.KEEP: FileState.ALREADY, Action.CHECK: FileState.ALREADY, Action.LINK: FileState.LINKED}


@dataclass(slots=True, eq=False)
class ModelRun:
    """A failure ends one and leaves the others alone. Two are never equal: each is a key of its own.

    `local` is how it was with its plain folder before anything was fetched; with `force` what the user put there is
    replaced. Of the blobs to fetch, `missing` still have to be placed; `ended` has how each ended, and `sent` the bytes
    of it by source.
    """

    item: Item
    emit: Emit
    model: ResolvedModel | None = None
    plan: ModelPlan | None = None
    missing: set[Digest] = field(default_factory=set)
    ended: dict[Digest, FileState] = field(default_factory=dict)
    sent: dict[Digest, Sent] = field(default_factory=dict)
    error: GlmAriaError | None = None
    lock: LockedModel | None = None
    wants_lock: bool = False
    force: bool = False
    local: LocalSurvey | None = None
    is_done: bool = False
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def is_open(self) -> bool:
        """True while something can still become of it."""
        return self.error is None and not self.is_done

    @property
    def resolved(self) -> ResolvedModel:
        """The model; only to be asked once it is resolved."""
        if self.model is None:
            raise AssertionError(f"{self.item.ref} is not resolved")
        return self.model

    def look_at_folder(self, blobs: HfCache, stop: Stop) -> None:
        """Look at its plain folder, if it has one, before anything is fetched. Raises what `survey_local` does."""
        folder, model = self.item.local_dir, self.resolved
        if folder is not None:
            self.local = survey_local(
                folder, model, self.is_held(blobs), force=self.force, no_links=self.item.no_links, stop=stop
            )

    def is_held(self, blobs: HfCache) -> Callable[[Digest], bool]:
        """True if the cache has a blob of this repo."""
        return lambda digest: blobs.layout.blob(self.resolved.ref.repo, digest).is_file()

    def take(self, plan: ModelPlan) -> None:
        """Follow this plan from here on."""
        self.plan = plan
        blobs = {item.file.digest: item.file.size for item in plan.files}
        self.missing = {item.file.digest for item in plan.files if item.action is Action.FETCH}
        missing = {digest: blobs[digest] for digest in self.missing}
        self.emit(ModelPlanned(str(self.item.ref), blobs, missing))

    def enter(self, phase: Phase) -> None:
        """Tell that the model is in this phase now."""
        self.emit(ModelPhase(str(self.item.ref), phase))

    def check_lock(self, blobs: HfCache, stop: Stop) -> None:
        """Compare its files, placed and not published yet, with the lock file, or make its entry for one.

        Raises TrustError when they are not the locked ones, and what reading them raises.
        """
        if self.item.locked is None and not self.wants_lock:
            return
        made = lock(self.resolved, self.item, blobs, stop)
        if self.item.locked is not None:
            refuse_other_bytes(self.item.locked, made)
        if self.wants_lock:
            self.lock = made

    def finish(self) -> None:
        """All is in place."""
        self.is_done = True
        self.seconds = time.monotonic() - self.started
        self.enter(Phase.DONE)

    def fail(self, error: GlmAriaError) -> None:
        """Give it up; the first error is the one that counts."""
        if self.is_open:
            self.error = error
            self.seconds = time.monotonic() - self.started
            self.enter(Phase.FAILED)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Let errors inside fail this model. An interruption concerns all models and passes."""
        try:
            yield
        except Interrupted:
            raise
        except GlmAriaError as error:
            self.fail(error)

    def report(self, blobs: HfCache) -> ModelReport:
        """The report on this model."""
        model = self.model
        files = tuple(self._file(item) for item in self.plan.files) if self.plan else ()
        return ModelReport(
            ref=str(self.item.ref),
            commit=model.commit if model else None,
            trust=model.trust if model else None,
            snapshot=blobs.snapshot(model) if model and self.is_done else None,
            local_dir=self.item.local_dir,
            files=files,
            seconds=self.seconds,
            error=self.error,
            lock=self.lock,
            version=model.version if model else None,
            signed_by=model.signed_by if model else None,
        )

    def _file(self, item: PlannedFile) -> FileReport:
        file = item.file
        if item.action is not Action.FETCH:
            return FileReport(file, _ENDED_AS[item.action])
        state = self.ended.get(file.digest, FileState.SKIPPED)
        if file.digest in self.missing and state is not FileState.LOST:
            state = FileState.SKIPPED
        return FileReport(file, state, self.sent.get(file.digest, {}))
