"""Our own aria2c: one bound to a run, or one that stays in the background for later runs.

Both run with a rendered configuration (mode 0600) on a random port of loopback with a random secret, in a private
runtime folder (0700). Neither ever sees a credential: the environment is emptied down to what aria2c needs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.launch import CONF, LOG, STATE, Setup, crowded, launch, recorded
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.rpc import Rpc
from orchestrator.disk.locks import state_lock
from orchestrator.disk.private import PrivateFolder, in_private_folder
from orchestrator.errors import DaemonError
from orchestrator.system.processes import is_left_behind, made_name

RUN = "run"
"""What the folder of a run is called, before the name of the process."""
_STOP_SECONDS = 5.0
_CROWDED_TRIES = 3
_BACKGROUND_CONCURRENCY = 64
_LOCK = "daemon.lock"


def sweep(runtime: Path) -> None:
    """End what runs that were killed left behind, and remove the runtime folder when nothing is left in it."""
    with contextlib.ExitStack() as held:
        folder = PrivateFolder.find(runtime)
        if folder is not None:
            _end_orphans(held.enter_context(folder))
            _remove_if_empty(runtime)


def _end_orphans(runtime: PrivateFolder) -> None:
    """End what runs that were killed left behind, and remove their folders.

    An aria2c looks for its owner once in a while, and until then goes on writing to parts that are ours by now.
    """
    for name in runtime.names():
        if not is_left_behind(runtime.path / name, RUN):
            continue
        folder = runtime.child(name)
        if folder is not None:
            with folder:
                found = recorded(folder)
            if found:
                found[0].end(patience=_STOP_SECONDS)
        runtime.remove_tree(name)


def _remove_if_empty(runtime: Path) -> None:
    with contextlib.suppress(OSError):
        runtime.rmdir()  # unless another run, or the background daemon, has something there


class PrivateDaemon:
    """An aria2c that lives as long as this process at most. Use as a context manager.

    `concurrency` downloads run at once, the rest wait; `max_speed` is bytes per second over all, 0 for no limit.
    `receive_buffer` are the bytes that may be on the way to each of its connections, None for what the kernel decides.
    `resolvers` are IP addresses of DNS servers that it asks instead of the system's, on port 53; `ca_bundle` is a file
    of certificates instead of the system's.
    """

    restartable = True

    def __init__(
        self,
        runtime: Path,
        *,
        concurrency: int,
        max_speed: int = 0,
        receive_buffer: int | None = None,
        resolvers: Sequence[str] = (),
        ca_bundle: Path | None = None,
    ) -> None:
        PrivateFolder.make(runtime).close()
        self._runtime = runtime
        self._name = made_name(RUN)
        self._setup = Setup(concurrency, os.getpid(), max_speed, receive_buffer, tuple(resolvers), ca_bundle)
        self._process: subprocess.Popen[bytes] | None = None
        self._staging: Path | None = None

    def __enter__(self) -> PrivateDaemon:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> Endpoint:
        """Start it, or start it again. Returns where it listens once it answers. Raises DaemonError."""
        for _ in range(_CROWDED_TRIES):
            self._end()
            with in_private_folder(self._runtime, self._open) as folder:
                self._process, endpoint = launch(folder, self._setup)
            try:
                if self._staging is not None:
                    _assert_writes_into(self._staging, endpoint)
            except DaemonError:
                if endpoint.listener is None or not endpoint.listener.is_crowded:
                    raise
            else:
                return endpoint
        raise crowded()

    def check(self, staging: Path) -> None:
        """As many downloads as it is given. Once it runs, it has to show that it writes into `staging`."""
        self._staging = staging

    def _open(self, runtime: PrivateFolder) -> PrivateFolder:
        _end_orphans(runtime)
        runtime.make_child(self._name)
        folder = runtime.child(self._name)
        if folder is None:
            raise DaemonError(f"the folder {runtime.path / self._name} was removed", hint="run it again")
        return folder

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def stop(self) -> None:
        """End it and remove what it needed; safe to call twice."""
        self._end()
        runtime = PrivateFolder.find(self._runtime)
        if runtime is not None:
            with runtime:
                runtime.remove_tree(self._name)
            _remove_if_empty(self._runtime)

    def _end(self) -> None:
        if self._process is not None:
            # Its downloads are removed by now, and aria2c takes a second to end by SIGTERM.
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class BackgroundDaemon:
    """The one background aria2c of this user, known by a state file (0600) in the runtime folder.

    `others` are folders where it may be as well, started while `runtime` was somebody else's; asked for when needed.
    """

    runtime: Path
    others: Callable[[], Iterable[Path]] = tuple

    def find(self) -> tuple[int, Endpoint] | None:
        """Its (pid, endpoint) when it runs and takes our secret, else None.

        A runtime folder of somebody else has none. The pid is proven to be our aria2c, and its port to be listened on
        by it, before the secret is shown.
        """
        for folder in self._folders():
            with folder:
                if found := _running(folder):
                    return found
        return None

    def start(self, ca_bundle: Path | None = None) -> tuple[int, Endpoint]:
        """The running one, or a new one that believes `ca_bundle`. Raises DaemonError."""
        if known := self.find():
            return known
        with contextlib.ExitStack() as held:

            def open_and_lock(folder: PrivateFolder) -> PrivateFolder:
                # Two starts at once would leave one daemon that nobody knows.
                held.enter_context(state_lock(_LOCK, dir_fd=folder.fd))
                return folder.copy()

            folder = held.enter_context(in_private_folder(self.runtime, open_and_lock))
            running = _running(folder)
            if running:
                return running
            process, endpoint = launch(folder, Setup(_BACKGROUND_CONCURRENCY, ca_bundle=ca_bundle))
            return process.pid, endpoint

    def stop(self) -> int | None:
        """End it, with whatever it is doing. Returns its pid, or None when none ran.

        Only a process that is proven to be our aria2c is ended, whether it answers or not.
        """
        for folder in self._folders():
            with folder, state_lock(_LOCK, dir_fd=folder.fd):
                found = recorded(folder)
                # By RPC it would take three seconds longer.
                ended = found[0].end(patience=_STOP_SECONDS, gently=True) if found else False
                for name in (STATE, CONF, LOG, _LOCK):
                    folder.unlink(name, missing_ok=True)
                if found and ended:
                    return found[0].pid
        return None

    def _folders(self) -> Iterator[PrivateFolder]:
        yield from filter(None, [PrivateFolder.find(self.runtime)])
        for path in self.others():
            if path != self.runtime and (folder := PrivateFolder.find(path)) is not None:
                yield folder


def _assert_writes_into(staging: Path, endpoint: Endpoint) -> None:
    """Raise DaemonError where the aria2c that is installed sees another disk, or a part of ours."""
    rpc = Rpc(endpoint, timeout=5)
    try:
        if not rpc.writes_into(staging):
            raise DaemonError(
                f"{find_aria2c()} does not write to this disk: none of its files arrives in {str(staging)!r}. It is"
                " confined to its own folders (a snap, a container), or renames its files",
                hint="install aria2 from the packages of your system, or use a --cache-dir that it may write to",
            )
    finally:
        rpc.close()


def _running(folder: PrivateFolder) -> tuple[int, Endpoint] | None:
    found = recorded(folder)
    if found is None:
        return None
    process, endpoint = found
    if not process.is_running:
        return None
    rpc = Rpc(endpoint, timeout=5)
    try:
        rpc.version()
    except DaemonError:
        return None
    finally:
        rpc.close()
    return process.pid, endpoint
