"""The ledger: what the facade knows of each model's versions and aliases, beside the registry's own tags.

One JSON file a model, `registry/models/<namespace>/<name>.json` in the state folder (0600), changed under a lock. The
tags of the registry follow it: where one differs, somebody went past the facade, and the ledger is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.refs import RepoId
from orchestrator.core.versions import Clock, Dot, Edit, Edits, Vector
from orchestrator.disk.access import refuse_strangers
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, load_state, write_state
from orchestrator.errors import DiskIOError
from orchestrator.registry.aliases import Alias
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
class ModelLedger:
    """All that is known of a model."""

    versions: Mapping[Version, Edition] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def with_version(self, version: Version, edition: Edition) -> ModelLedger:
        """The same with one version more."""
        return replace(self, versions={**self.versions, version: edition})

    def with_alias(self, name: str, alias: Alias) -> ModelLedger:
        """The same with an alias as it is now."""
        return replace(self, aliases={**self.aliases, name: alias})

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
        moved_to = (edit.value for alias in self.aliases.values() for edit in alias.edits.made if edit.value)
        return frozenset((*(edition.digest for edition in self.versions.values()), *moved_to))


class Ledgers:
    """The ledgers of a state folder; threads and processes may share them."""

    def __init__(self, folder: Path, stage: Path) -> None:
        self._folder = folder / "models"
        self._stage = stage

    def has_namespace(self, namespace: str) -> bool:
        """True for a namespace in which somebody has published, or moved an alias."""
        return (self._folder / namespace).is_dir()

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
        """The ledger, which nobody else changes meanwhile. Raises per `system.failures`."""
        path = self._path(model)
        with on_disk("lock", path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with on_disk("lock", path), state_lock(path.with_suffix(".lock")):
            yield self.read(model)

    def write(self, model: RepoId, ledger: ModelLedger) -> None:
        """Replace the ledger, by who has it alone. Raises per `system.failures`."""
        write_state(self._path(model), self._stage, _written(ledger), indent=1)

    def _path(self, model: RepoId) -> Path:
        namespace, _, name = model.name.partition("/")
        return self._folder / namespace / f"{name}.json"


def _written(ledger: ModelLedger) -> dict[str, object]:
    return {
        "versions": {
            str(version): {"digest": one.digest, "size": one.size, "who": one.who, "at": one.at}
            for version, one in ledger.versions.items()
        },
        "aliases": {
            name: [_edit_written(edit) for edit in sorted(alias.edits.made, key=lambda edit: edit.dot)]
            for name, alias in ledger.aliases.items()
        },
    }


def _edit_written(edit: Edit) -> dict[str, object]:
    return {"writer": edit.dot.writer, "clock": edit.dot.clock, "value": edit.value, "knew": edit.knew.clocks}


def _ledger(data: dict[str, Any]) -> ModelLedger:
    """A ledger as it was written. Raises any of UNREADABLE."""
    versions = {
        Version.parse(text): Edition(str(one["digest"]), int(one["size"]), str(one["who"]), float(one["at"]))
        for text, one in data["versions"].items()
    }
    aliases = {str(name): Alias(Edits(frozenset(map(_edit, edits)))) for name, edits in data["aliases"].items()}
    return ModelLedger(versions, aliases)


def _edit(found: dict[str, Any]) -> Edit:
    knew = Vector({str(writer): _clock(clock) for writer, clock in found["knew"].items()})
    return Edit(Dot(str(found["writer"]), _clock(found["clock"])), str(found["value"]), knew)


def _clock(found: list[Any]) -> Clock:
    epoch, number = found
    return int(epoch), int(number)
