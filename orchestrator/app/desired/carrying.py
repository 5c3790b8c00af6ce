"""A set out of a cache into an archive, and from an archive into a cache that reaches no network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.app.compose import open_cache, state_of, sweep
from orchestrator.app.desired.following import labels_of, store_of
from orchestrator.app.desired.work import CacheWork
from orchestrator.cache.cache import Cache
from orchestrator.core.files import RepoFile
from orchestrator.core.text import counted
from orchestrator.desired import carrying
from orchestrator.desired.following.memory import MemoryFile
from orchestrator.desired.following.picture import target_of
from orchestrator.desired.sets import SetStore, StoredSet, stored_generation, stored_models
from orchestrator.desired.sources.interface import DesiredSource, read_state
from orchestrator.desired.wish.wanted import ModelSet, SetModel, SetRules, merge
from orchestrator.disk import space
from orchestrator.disk.atomic import drop, scratch
from orchestrator.disk.state_file import UNREADABLE
from orchestrator.errors import IntegrityError, NotCachedError, TrustError, UsageError
from orchestrator.events import Emit
from orchestrator.lists.json_text import parse_json
from orchestrator.lists.lockfile import parse_lock
from orchestrator.proof.verified import verify
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class CarriedSet:
    """A set in an archive, or out of one: its digest, that of the manifest, its models and bytes."""

    name: str
    digest: str
    manifest: str | None
    path: Path
    models: int
    files: int
    bytes: int
    fetched: int = 0


def export_set(settings: Settings, name: str, sets: Path | None, target: Path) -> CarriedSet:
    """Write the set that readers have into an archive. Raises NotCachedError where there is none, IntegrityError for a
    file that rotted, and what `carrying.writing` does."""
    store = store_of(settings, name, sets)
    current = current_of(store)
    folder = store.folder / current.folder
    texts = {part: (folder / part).read_bytes() for part in ("set.json", "set.lock")}
    if store.status.exists():
        texts["status.json"] = store.status.read_bytes()
    blobs: dict[str, Path] = {}
    for model in current.models.models:
        for file in model.locked.files:
            blobs.setdefault(file.sha256, folder / "models" / model.name / file.path)
    missing = [path for path in blobs.values() if not path.is_file()]
    if missing:
        raise NotCachedError(
            f"{counted(len(missing), 'file')} of the set {name} are not here; nothing was written",
            hint="the follower of the set fetches them again: glm-aria node --follow SRC",
            file=str(missing[0]),
        )
    size = sum(current.models.blobs.values())
    space.check(size, target.parent, flag="OUT")
    with carrying.writing(target) as writer:
        manifest = carrying.write_archive(writer, texts, blobs)
    return CarriedSet(name, current.digest, manifest, target, len(current.models.models), len(blobs), size)


def import_set(
    settings: Settings, name: str, sets: Path | None, source: Path, expected: str | None, *, stop: Stop, emit: Emit
) -> CarriedSet:
    """Take a set out of an archive into the cache, and give it to readers. Asks nobody; every file is proven.

    Raises TrustError when the set has another digest than `expected`, IntegrityError for a file that is not what the
    lock says, UsageError for what is no set, and the errors of the disk.
    """
    store = store_of(settings, name, sets)
    memory_file = MemoryFile(state_of(settings), store.folder)
    with ExitStack() as stack:
        reader = stack.enter_context(carrying.reading(source))
        carried = carrying.read_archive(reader, str(source))
        info, models, told = _models(carried.texts, source)
        if expected is not None and models.digest != expected:
            raise TrustError(f"{source} holds the set {models.digest}, and not {expected}; nothing was written")
        if absent := models.blobs.keys() - carried.blobs.keys():
            raise IntegrityError(
                f"{source} lacks {counted(len(absent), 'file')} of its set; nothing was written", hint=carrying.DAMAGED
            )
        stack.enter_context(memory_file.alone())
        store.make()
        work = CacheWork(replace(settings, offline=True), models.rules, name)
        pins, brought = work.hold([target_of(model.locked) for model in models.models])
        with open_cache(settings, create=True) as cache:
            fetched = _take(reader, models, cache, stop)
            sweep(cache.staging)
        errors = work.complete(models, stop, emit)
        if errors:
            raise next(iter(errors.values()))
        memory = memory_file.load()
        known = max(memory.generation, *(one.generation for one in store.kept()), 0)
        generation = max(told, known)
        wish, revisions = str(info.get("wish", "")), tuple(map(str, _listed(info.get("revisions"))))
        before = store.present()
        made = store.build(models, generation, wish, revisions, time.time())
        store.flip(made.folder)
        held = memory.holding(pins, brought)
        flipped = held.flipped(before.digest if before else None, made.digest, time.time())
        memory_file.save(replace(flipped, generation=generation, wish=wish))
        work.publish(models, stop, emit)
    size = sum(models.blobs.values())
    return CarriedSet(
        name, models.digest, None, store.folder / made.folder, len(models.models), len(models.blobs), size, fetched
    )


def digest_of_sources(settings: Settings, sources: tuple[DesiredSource, ...], *, stop: Stop, emit: Emit) -> str:
    """The digest of the set that sources desire for this node: what no lock fixes is asked."""
    documents = []
    for source in sources:
        source.look()
        with source.open() as tree:
            documents.append(read_state(tree).document)
    wanted = merge(documents, labels_of(settings))
    rules = SetRules(portable=settings.portable)
    unknown = [model for model in wanted.models if model.item.locked is None]
    locked = CacheWork(settings, rules, "").lock(unknown, stop, emit) if unknown else None
    if locked is not None and locked.errors:
        raise next(iter(locked.errors.values()))
    known = locked.models if locked else {}
    models = tuple(SetModel(model.name, model.item.locked or known[model.key]) for model in wanted.models)
    return ModelSet(models, rules).digest


def current_of(store: SetStore) -> StoredSet:
    """The set that readers have. Raises NotCachedError."""
    found = store.present()
    if found is None:
        raise NotCachedError(
            f"there is no set {store.name} in {store.folder.parent}", hint="glm-aria node --follow SRC makes one"
        )
    return found


def _models(texts: Mapping[str, bytes], source: Path) -> tuple[dict[str, object], ModelSet, int]:
    try:
        info = dict(parse_json(texts["set.json"].decode()))
        models = stored_models(info, parse_lock(texts["set.lock"].decode(), "set.lock"))
        return info, models, stored_generation(info)
    except UNREADABLE as error:
        raise UsageError(f"{source} is no set of models: {error}", hint="glm-aria state export makes one") from error


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _take(reader: carrying.ArchiveReader, models: ModelSet, cache: Cache, stop: Stop) -> int:
    """Place each file of the set that is not here. Returns how many bytes came from the archive."""
    first: dict[str, tuple[SetModel, RepoFile]] = {}
    for model in models.models:
        tree = {file.path: file for file in model.locked.tree().files}
        have = cache.blobs.find(model.locked.ref.repo, tree.values())
        for locked in model.locked.files:
            if have[tree[locked.path].digest].path is None:
                first.setdefault(locked.sha256, (model, tree[locked.path]))
    space.check(sum(file.size for _, file in first.values()), cache.layout.cache_dir)
    stage = cache.staging.folder
    places = {
        carrying.entry_of(sha256): carrying.EntryRoom(scratch(stage), file.size) for sha256, (_, file) in first.items()
    }
    by_entry = {carrying.entry_of(sha256): (sha256, *found) for sha256, found in first.items()}
    came: set[str] = set()
    try:
        with cache.blobs.use() as use:
            use.hold({model.locked.ref.repo.folder for model in models.models})
            for entry, found in reader.copy(places):
                sha256, model, file = by_entry[entry]
                if found != sha256:
                    raise IntegrityError(
                        f"{file.path!r} in the archive is not what the lock of the set says",
                        hint=carrying.DAMAGED,
                        file=file.path,
                    )
                verified = verify(places[entry].path, file.digest, file.size, stop=stop)
                cache.blobs.place(model.locked.ref.repo, model.locked.commit, [(verified, file)])
                came.add(sha256)
    finally:
        for room in places.values():
            drop(room.path)
    if absent := first.keys() - came:
        raise IntegrityError(f"the archive lacks {counted(len(absent), 'file')} of its set", hint=carrying.DAMAGED)
    return sum(first[sha256][1].size for sha256 in came)
