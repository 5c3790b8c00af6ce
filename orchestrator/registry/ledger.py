"""The ledger: what the facade knows of each model's versions and aliases, beside the registry's own tags.

One JSON file a model, `registry/models/<namespace>/<name>.json` in the state folder (0600), changed under a lock. The
tags of the registry follow it: where one differs, somebody went past the facade, and the ledger is right.

A change is written down as `planned` first. It counts once its event is in the trail (see `registry.keeping`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.refs import RepoId
from orchestrator.disk.access import refuse_strangers
from orchestrator.disk.durability import sync_names
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, load_state, write_state
from orchestrator.errors import DiskIOError, NotFoundError, RepoAbsentError
from orchestrator.registry.aliases import Alias
from orchestrator.registry.audit import Deed, TrailEvent, event_of
from orchestrator.registry.names import is_model, model_named
from orchestrator.registry.versions import Version
from orchestrator.system.failures import on_disk


@dataclass(frozen=True, slots=True)
class Edition:
    """A published version: its manifest's digest, the bytes of its files, and who published it when (unix seconds)."""

    digest: str
    size: int
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A change as the trail will have it; of a version with the bytes of its files."""

    event: TrailEvent
    size: int = 0


@dataclass(frozen=True, slots=True)
class ModelLedger:
    """All that is known of a model. `planned` are changes that count where the trail has them."""

    versions: Mapping[Version, Edition] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    planned: tuple[PlannedChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True where nobody has published, or moved an alias."""
        return not self.versions and not self.aliases

    def planning(self, changes: Collection[PlannedChange]) -> ModelLedger:
        """The same before these changes."""
        return replace(self, planned=tuple(changes))

    def after(self, events: Collection[TrailEvent]) -> ModelLedger:
        """The same after those of the planned changes that are among these events, and with no plans."""
        versions, aliases = dict(self.versions), dict(self.aliases)
        for change in self.planned:
            event = change.event
            if event not in events:
                continue
            if (version := Version.of_tag(event.name)) is not None:
                # Nobody knows who pushed a tag past the facade.
                who = "" if event.deed is Deed.ADOPT else event.who
                versions[version] = Edition(event.after, change.size, who, event.at)
            else:
                aliases[event.name] = aliases.get(event.name, Alias()).moved(event.after)
        return ModelLedger(versions, aliases)

    def lack(self, model: RepoId, what: str, hint: str | None = None) -> NotFoundError:
        """The error for what the model lacks; where nobody has published anything, that there is no such model."""
        if not self.is_empty:
            return NotFoundError(f"{model.name} has no {what}", hint=hint)
        return RepoAbsentError(
            f"there is no model {model.name} in the registry",
            hint=f"see what there is: glm-aria registry ls; or publish it: glm-aria push DIR reg://{model.name}@1.0.0",
        )

    def version_of(self, digest: str) -> Version | None:
        """The newest version with this digest."""
        return max((one for one, edition in self.versions.items() if edition.digest == digest), default=None)

    def digest_of(self, name: str | Version) -> str | None:
        """The digest of a version or an alias; None where there is none."""
        if isinstance(name, Version):
            edition = self.versions.get(name)
            return edition.digest if edition else None
        alias = self.aliases.get(name)
        return alias.digest if alias else None

    @property
    def digests(self) -> frozenset[str]:
        """All digests that are known."""
        moved_to = (digest for alias in self.aliases.values() for digest in alias.moves if digest)
        return frozenset((*(edition.digest for edition in self.versions.values()), *moved_to))


class Ledgers:
    """The ledgers of a state folder; threads and processes may share them. `stage` is for files that are written."""

    def __init__(self, folder: Path, stage: Path) -> None:
        self._folder = folder / "models"
        self._locks = folder / "locks"
        self._stage = stage
        self._namespaces: set[str] = set()

    def has_namespace(self, namespace: str) -> bool:
        """True for a namespace in which somebody has published, or moved an alias. It stays so."""
        if namespace not in self._namespaces and self._is_used(namespace):
            self._namespaces.add(namespace)
        return namespace in self._namespaces

    def read(self, model: RepoId) -> ModelLedger:
        """The ledger of a model; an empty one where there is none. Raises DiskIOError."""
        path = self._path(model)
        try:
            return _ledger(load_state(path, judge=refuse_strangers))
        except (FileNotFoundError, NotADirectoryError):
            return ModelLedger()
        except UNREADABLE as error:
            raise DiskIOError(
                f"{path} cannot be read: {error}",
                hint="it must be a file of yours that nobody else may read; without it the tags of the registry count",
                file=str(path),
            ) from error

    @contextlib.contextmanager
    def alone(self, model: RepoId) -> Iterator[ModelLedger]:
        """The ledger, which nobody else changes meanwhile. Raises per `system.failures`, also without locks."""
        # A fixed number of locks: a call that fails leaves nothing behind that says that there is such a model.
        path = self._locks / hashlib.sha256(model.name.encode()).hexdigest()[:2]
        with on_disk("lock", path):
            self._locks.mkdir(mode=0o700, exist_ok=True)
        with on_disk("lock", path), state_lock(path, strict=True):
            yield self.read(model)

    def write(self, model: RepoId, ledger: ModelLedger) -> None:
        """Replace the ledger, by who has it alone: it is on the disk then. Raises per `system.failures`."""
        path = self._path(model)
        folder = path.parent
        with on_disk("write", path):
            is_new = not folder.is_dir()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_state(path, self._stage, _written(ledger), indent=1)
        for each in (folder, *((folder.parent, folder.parent.parent) if is_new else ())):
            sync_names(each)

    def _is_used(self, namespace: str) -> bool:
        with on_disk("read", self._folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in (self._folder / namespace).iterdir():
                name = f"{namespace}/{path.stem}"
                if path.suffix == ".json" and is_model(name) and self._is_begun(model_named(name)):
                    return True
        return False

    def _is_begun(self, model: RepoId) -> bool:
        try:
            return not self.read(model).is_empty
        except DiskIOError:
            return True  # it is damaged, and so it was begun

    def _path(self, model: RepoId) -> Path:
        namespace, _, name = model.name.partition("/")
        return self._folder / namespace / f"{name}.json"


def _written(ledger: ModelLedger) -> dict[str, object]:
    return {
        "versions": {
            str(version): {"digest": one.digest, "size": one.size, "who": one.who, "at": one.at}
            for version, one in ledger.versions.items()
        },
        "aliases": {name: alias.moves for name, alias in ledger.aliases.items()},
        "planned": [{"event": asdict(one.event), "size": one.size} for one in ledger.planned],
    }


def _ledger(data: dict[str, Any]) -> ModelLedger:
    """A ledger as it was written. Raises any of UNREADABLE."""
    versions = {
        Version.parse(text): Edition(str(one["digest"]), int(one["size"]), str(one["who"]), float(one["at"]))
        for text, one in data["versions"].items()
    }
    aliases = {str(name): Alias(tuple(map(str, moves))) for name, moves in data["aliases"].items()}
    planned = tuple(PlannedChange(event_of(one["event"]), int(one["size"])) for one in data["planned"])
    return ModelLedger(versions, aliases, planned)
