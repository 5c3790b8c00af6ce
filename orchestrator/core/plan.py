"""The plan of a set of resolved models: files that are there, that are linked, that are fetched.

Flow: `ResolvedModel` (what a catalog said) + `Have` (what the disk said) -> `Plan` (per model files, and one `Job` for
each distinct blob that must be fetched, for all models that want it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.core.files import Digest, RepoFile, RepoTree
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Origin, origin_at
from orchestrator.core.trust import Trust
from orchestrator.errors import UnsafeError


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A ref tied to one commit.

    `tree` is the whole listing, `wanted` what the globs chose from it. `is_restricted` repos (gated or private) answer
    only with a token. `modified` is the date of the commit in unix seconds, where the catalog told one. `is_whole` is
    False when `tree` holds only what a lock file names of the commit. `name_now` is the repo's present name, where the
    site that was asked says that it was renamed. `pinned` is the ref at which the bytes lie where that is another one,
    or says more: a registry's with its digest. `twin` is a public repo of the Hub that is said to hold the same files.
    `version` is what its site calls the commit; `signed_by`, the key that was found to vouch for all of its files.
    """

    ref: Ref
    tree: RepoTree
    wanted: RepoTree
    trust: Trust
    is_restricted: bool = False
    modified: float | None = None
    is_whole: bool = True
    name_now: str | None = None
    pinned: Ref | None = None
    twin: Ref | None = None
    version: str | None = None
    signed_by: str | None = None

    @property
    def commit(self) -> str:
        """The 40-hex commit."""
        return self.tree.commit

    def origin(self, file: RepoFile) -> Origin:
        """The place of a file in its catalog."""
        return origin_at(self.pinned or self.ref, self.commit, file)


class Have(StrEnum):
    """The state of a blob on disk."""

    PLACED = "placed"  # in this repo's blobs, its digest proven before
    UNPROVEN = "unproven"  # in this repo's blobs with the right size, digest never proven by us
    ELSEWHERE = "elsewhere"  # proven, in another repo of the cache
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Found:
    """Answer of an inventory for one blob; `path` is where it lies, None for NOTHING.

    `stamp` is the identity of the file that was proven, as `cache.proofs.stamp` has it; None for what is not.
    """

    have: Have
    path: Path | None = None
    stamp: tuple[int, int, int, int] | None = None


class Action(StrEnum):
    """The action of a pull for a file."""

    KEEP = "keep"
    CHECK = "check"
    LINK = "link"
    FETCH = "fetch"


_ACTIONS = {
    Have.PLACED: Action.KEEP,
    Have.UNPROVEN: Action.CHECK,
    Have.ELSEWHERE: Action.LINK,
    Have.NOTHING: Action.FETCH,
}


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of the listing and what will be done about it. `found` is where LINK and CHECK find the bytes."""

    file: RepoFile
    action: Action
    found: Path | None = None


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model's files. Jobs of a higher `priority` are fetched earlier."""

    model: ResolvedModel
    files: tuple[PlannedFile, ...]
    priority: int = 0

    def bytes_of(self, *actions: Action) -> int:
        """Bytes of the distinct blobs with one of `actions`."""
        return sum({item.file.digest: item.file.size for item in self.files if item.action in actions}.values())


@dataclass(frozen=True, slots=True)
class Job:
    """One blob to fetch. `origins` are all the places where the listings name it, those of open repos if there are."""

    digest: Digest
    size: int
    is_lfs: bool
    origins: tuple[Origin, ...]
    is_restricted: bool = False
    priority: int = 0

    @property
    def name(self) -> str:
        """The path of its first origin."""
        return self.origins[0].path


@dataclass(frozen=True, slots=True)
class Plan:
    """All models of a run, and the blobs to fetch: by priority, then the biggest, whose hashing overlaps the rest."""

    models: tuple[ModelPlan, ...]
    jobs: tuple[Job, ...] = field(default=())

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes of all jobs; a blob that several files share counts once."""
        return sum(job.size for job in self.jobs)


def plan_model(model: ResolvedModel, found: Mapping[Digest, Found], priority: int = 0) -> ModelPlan:
    """Decide per wanted file. A digest that `found` lacks counts as NOTHING."""
    nothing = Found(Have.NOTHING)
    return ModelPlan(
        model,
        tuple(
            PlannedFile(file, _ACTIONS[(here := found.get(file.digest, nothing)).have], here.path)
            for file in model.wanted.files
        ),
        priority,
    )


def merge(models: Iterable[ModelPlan]) -> Plan:
    """One queue for all models: each distinct blob becomes one job with every origin that names it.

    For a file that an open repo lists, too, closed repos are no origins: mirrors must not learn their names.
    """
    plans = tuple(models)
    origins: dict[Digest, dict[Origin, None]] = {}
    open_origins: dict[Digest, dict[Origin, None]] = {}
    files: dict[Digest, RepoFile] = {}
    priorities: dict[Digest, int] = {}
    for plan in plans:
        for item in plan.files:
            if item.action is not Action.FETCH:
                continue
            digest = item.file.digest
            known = files.setdefault(digest, item.file)
            if known.size != item.file.size:
                raise UnsafeError(f"two sizes are listed for {digest}: {known.path!r} and {item.file.path!r}")
            model = plan.model
            origin = model.origin(item.file)
            origins.setdefault(digest, {})[origin] = None
            priorities[digest] = max(priorities.get(digest, plan.priority), plan.priority)
            if not model.is_restricted:
                open_origins.setdefault(digest, {})[origin] = None
    jobs = (
        Job(
            digest,
            files[digest].size,
            files[digest].is_lfs,
            tuple(open_origins.get(digest) or origins[digest]),
            digest not in open_origins,
            priorities[digest],
        )
        for digest in origins
    )
    return Plan(plans, tuple(sorted(jobs, key=lambda job: (-job.priority, -job.size, job.digest))))


def refuse_pickles(model: ResolvedModel) -> None:
    """Raise UnsafeError when a wanted file is in a format whose loading may run code (`--safe-only`)."""
    pickles = [file.path for file in model.wanted.files if file.is_pickle]
    if pickles:
        raise UnsafeError(
            f"{model.ref} holds {len(pickles)} pickle file(s), such as {pickles[0]!r}, and --safe-only forbids them",
            hint=f"skip them: --exclude '{Path(pickles[0]).suffix and '*' + Path(pickles[0]).suffix}'",
            file=pickles[0],
        )
