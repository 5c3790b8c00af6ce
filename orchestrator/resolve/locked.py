"""A model as a lock file says: nobody is asked what it is, and those who can be asked may not contradict.

Digests and commit come from the lock, so any mirror will do for the bytes. The root is asked all the same what it lists
at the locked commit, or, where it does not answer, the mirrors: a site that says otherwise today is a reason to stop
and look. Decision record 29 has the reasons.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.cache.cache import HfCache
from orchestrator.cache.records import Records
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import (
    IntegrityError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Notice
from orchestrator.lists.lock_diff import FileChange, contradictions, differences
from orchestrator.lists.lockfile import LockedFile, LockedModel
from orchestrator.lists.request import Item
from orchestrator.proof.hashing import read_both
from orchestrator.resolve.question import REFUSALS, SILENT, Question
from orchestrator.system.signals import Stop


def _mismatch(message: str, changes: tuple[FileChange, ...], *, source: str | None = None) -> TrustError:
    """The world, or the cache, is not what the lock file says; `changes` lead from the lock to what was found."""
    more = f" and {len(changes) - 1} more" if changes[1:] else ""
    return TrustError(
        f"{message}: {changes[0]}{more}",
        hint="find out which one is right before you lock it again: glm-aria pull REF --lock FILE",
        file=changes[0].path,
        source=source,
        details=tuple(map(str, changes)),
    )


def from_lock(question: Question, locked: LockedModel) -> ResolvedModel:
    """The model of a lock. Asks for the listing of the locked commit unless offline, or the lock was made just now.

    Raises TrustError when the root contradicts the lock, or, without it, all mirrors that answer.
    """
    tree = locked.tree()
    request = question.request
    said: Revision | None = None
    if request.is_closed is not None:
        is_restricted = request.is_closed
    else:
        if request.offline:
            told = _is_closed(locked, question.records)
        else:
            told, said = _confirm(locked, question)
        is_restricted = request.for_others if told is None else told
    return ResolvedModel(
        question.ref,
        tree,
        tree,
        Trust(Level.LOCK, request.lock_name),
        is_restricted,
        is_whole=locked.is_whole,
        pinned=locked.pinned,
        twin=said.twin if said else None,
        version=locked.version or (said.version if said else None),
    )


def _confirm(locked: LockedModel, question: Question) -> tuple[bool | None, Revision | None]:
    """Ask who can be asked; True when the repo answers only with a token, None when nobody says. With what the root
    says of the commit."""
    first = question.sites.of(locked.fixed)
    try:
        revision, changes = _ask(first, locked)
    except SILENT as error:
        # It cannot say what the lock says, which is no contradiction: mirrors may still have the bytes.
        # Of these two nobody was surprised: the lock is there for a root that is down.
        is_away = isinstance(error, SourcesDownError | TemporaryError)
        if not is_away:
            message = f"{first.source.name} cannot confirm {locked.ref} ({error.message}); the lock file is trusted"
            question.emit(Notice("lock-unconfirmed", message, mirror=first.source.name))
        is_closed = _is_closed(locked, question.records)
        is_open = _ask_mirrors(locked, question, is_closed=is_closed is True)
        # A root that refuses the repo has said more than a mirror can.
        return False if is_closed is None and is_open and is_away else is_closed, None
    if changes:
        raise _contradicts(first, locked, changes)
    return revision.is_restricted, revision


def _is_closed(locked: LockedModel, records: Records) -> bool | None:
    """As far as is known here: a lock file does not tell."""
    record = records.load(locked.ref.repo, locked.commit)
    return None if record is None else record.is_restricted


def _ask_mirrors(locked: LockedModel, question: Question, *, is_closed: bool) -> bool:
    """One that agrees is enough; True when it says that the repo is open. Who contradicts is named, and is an error
    only when nobody agrees."""
    refused: list[TrustError] = []
    kind, sites = locked.ref.catalog, question.sites
    for catalog in sites.mirrors:
        if catalog.source.kind is not kind or not sites.may_hear(catalog.source, kind, is_restricted=is_closed):
            continue
        try:
            revision, changes = _ask(catalog, locked)
        except REFUSALS:
            continue
        if not changes:
            for error in refused:
                question.emit(Notice("mirror-lied", error.message, mirror=error.source, file=error.file))
            return not revision.is_restricted
        refused.append(_contradicts(catalog, locked, changes))
    if refused:
        raise refused[0]
    return False


def _ask(catalog: Catalog, locked: LockedModel) -> tuple[Revision, tuple[FileChange, ...]]:
    """A site's answer: what it says of the commit, and how its listing differs from the lock."""
    fixed = locked.fixed
    revision = catalog.revision(fixed)
    return revision, contradictions(locked, catalog.tree(fixed.repo, locked.commit))


def _contradicts(catalog: Catalog, locked: LockedModel, changes: tuple[FileChange, ...]) -> TrustError:
    name = catalog.source.name
    return _mismatch(
        f"{name} lists {locked.ref} at {locked.commit[:12]} otherwise than the lock file; nothing was fetched",
        changes,
        source=name,
    )


def lock(model: ResolvedModel, item: Item, blobs: HfCache, stop: Stop) -> LockedModel:
    """The lock of a model whose wanted files are placed: the digest that its listing lacks is computed from the bytes.

    Raises IntegrityError when a file is not what was placed, DiskIOError, Interrupted.
    """
    files = []
    for file in model.wanted.files:
        if file.is_lfs:
            files.append(LockedFile.of_lfs(file.path, file.size, file.digest.hex, file.git_oid))
            continue
        blob = blobs.layout.blob(model.ref.repo, file.digest)
        sha256, git = read_both(Path(os.path.realpath(blob)), stop=stop)
        if file.digest not in (sha256, git):
            raise IntegrityError(
                f"{file.path!r} in the cache is not the placed file", hint="glm-aria verify --repair", file=file.path
            )
        files.append(LockedFile(file.path, file.size, git.hex, sha256.hex))
    return LockedModel(
        model.ref, model.commit, model.trust, tuple(files), *item.globs_in(model.tree), model.pinned, model.version
    )


def refuse_other_bytes(locked: LockedModel, placed: LockedModel) -> None:
    """Raise TrustError unless the placed files have both digests of the lock.

    The listing's digest proved each of them. For a small file that is a SHA-1, of which collisions can be made.
    """
    if changes := differences(locked, placed):
        raise _mismatch(f"{placed.ref} has other bytes than the lock file; it is not published", changes)
