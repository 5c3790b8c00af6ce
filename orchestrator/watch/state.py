"""State of a `watch`: one small file for each list, and the lock that leaves one watcher for each.

`watch/<id>.json` (0600, replaced by rename) holds where each model stands and which pins are the watcher's own;
`watch/<id>.lock` is held while it runs. The id is made from the path of the list. A file that cannot be read
counts as absent: the worst that follows is that a pin outlives its list.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

from orchestrator.disk.locks import own_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.errors import TemporaryError
from orchestrator.platform.host import host_name
from orchestrator.system import processes


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model. Times are unix seconds; `state` is waiting, pulling, done, failed or interrupted. `version` is what
    the registry of the model calls the commit."""

    ref: str
    state: str = "waiting"
    commit: str | None = None
    snapshot: str | None = None
    failures: int = 0
    error: dict[str, str | None] | None = None
    last_success: float | None = None
    next: float | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class WatchState:
    """One watched list. `error` says what is wrong with the list, whose last good content then counts."""

    path: str
    interval: float = 0.0
    error: str | None = None
    files: tuple[str, ...] = ()
    models: tuple[ModelState, ...] = ()
    pins: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    started: str = ""
    is_running: bool = False

    def of(self, ref: str) -> ModelState | None:
        """A model's state, the first with this ref."""
        return next((model for model in self.models if model.ref == ref), None)


class WatchFile:
    """The state file of one list."""

    def __init__(self, state_dir: Path, path: Path) -> None:
        # A symbolic link stays what the user called it: where it leads may change, and is what is followed.
        self._path = os.path.abspath(path)  # noqa: PTH100
        name = hashlib.sha256(os.fsencode(self._path)).hexdigest()[:16]
        self._stage = state_dir / "stage"
        self._file = state_dir / "watch" / f"{name}.json"
        self._lock = self._file.with_suffix(".lock")

    def load(self) -> WatchState:
        """The state saved last; empty if there is none."""
        return _load(self._file) or WatchState(self._path)

    def save(self, state: WatchState) -> None:
        """Replace it, in one step. Raises per `system.failures`."""
        host, pid, started = processes.me()
        self._write(replace(state, path=self._path, host=host, pid=pid, started=started))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the one watcher of this list and cache. Raises TemporaryError while another one lives."""
        with own_lock(self._lock) as is_alone:
            try:
                other = self.load()
                # Where locks are not known, or always granted, the recorded owner shows another watcher on this host.
                if not is_alone or (_lives(other) and other.pid != os.getpid()):
                    who = f" (process {other.pid} on {other.host})" if other.pid else ""
                    raise TemporaryError(
                        f"{self._path} is watched for this cache already{who}",
                        hint=f"glm-aria watch {shlex.quote(str(self._path))} --status",
                    )
                yield
            finally:
                with contextlib.suppress(OSError):
                    ended = self.load()
                    if ended.pid == os.getpid():
                        self._write(replace(ended, host="", pid=0, started=""))

    def _write(self, state: WatchState) -> None:
        data = asdict(state)
        del data["is_running"]
        write_state(self._file, self._stage, data, durable=False)


def watched(state_dir: Path) -> tuple[WatchState, ...]:
    """The states of all lists of a cache."""
    return tuple(state for file in sorted((state_dir / "watch").glob("*.json")) if (state := _load(file)))


def _load(file: Path) -> WatchState | None:
    return read_state(file, _state)


def _state(data: dict[str, Any]) -> WatchState:
    del data["version"]
    models = tuple(_model(model) for model in data.pop("models"))
    state = WatchState(**data, models=models)
    state = replace(state, files=tuple(map(str, state.files)), pins=tuple(map(str, state.pins)), is_running=False)
    _refuse_other((state.path, state.host, state.started), str)
    _refuse_other((state.error,), str, NoneType)
    _refuse_other((state.interval, state.pid), int, float)
    return replace(state, is_running=_lives(state))


def _model(data: dict[str, Any]) -> ModelState:
    model = ModelState(**data)
    _refuse_other((model.ref, model.state), str)
    _refuse_other((model.commit, model.version, model.snapshot, *dict(model.error or {}).values()), str, NoneType)
    _refuse_other((model.error,), dict, NoneType)
    _refuse_other((model.failures,), int)
    _refuse_other((model.last_success, model.next), int, float, NoneType)
    return model


def _refuse_other(values: Iterable[object], *kinds: type) -> None:
    """Raise TypeError unless each value is of one of the kinds, and no number is infinite."""
    for value in values:
        if type(value) not in kinds or (isinstance(value, float) and not math.isfinite(value)):
            raise TypeError(f"{value!r} is no part of a state")


def _lives(state: WatchState) -> bool:
    """True while the watcher on record runs. Of another host nothing is known, and it is believed."""
    if not state.pid:
        return False
    return state.host != host_name() or processes.lives(state.pid, state.started)
