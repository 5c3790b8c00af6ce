"""Our own aria2c: one bound to a run, or one that stays in the background for later runs.

Both run with a rendered configuration (mode 0600) on a random port of loopback with a random secret, in a private
runtime folder (0700). Neither ever sees a credential: the environment is emptied down to what aria2c needs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.aria2.interface import Endpoint
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.rpc import Rpc
from orchestrator.errors import CannotCreateError, DaemonError, DiskIOError, UsageError
from orchestrator.oserrors import translate
from orchestrator.system.children import TiedChild, UntiedChild
from orchestrator.templating import render

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_TRIES = 3
_OPEN_FILES, _FEWEST_OPEN_FILES = 1024, 160
# Whoever ends and finds the runtime folder empty removes it, perhaps just after we made it.
_FOLDER_TRIES = 100
_BACKGROUND_CONCURRENCY = 64
_STATE = "daemon.json"
_CONF = "aria2.conf"
# What aria2c may inherit: how to find libraries. Not HF_TOKEN, nor anything else; each download has its proxy by RPC.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


def private_folder(path: Path) -> Path:
    """Make `path` a folder that is ours alone (0700).

    Raises CannotCreateError when someone else's is in the way, and what a full or failing disk is worth.
    """
    with _written(path):
        for _ in range(_FOLDER_TRIES):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                _own(path)
            except FileNotFoundError:
                continue
            except FileExistsError:
                if os.path.lexists(path) and not path.is_dir():
                    raise
            else:
                return path
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _own(path: Path) -> None:
    facts = path.lstat()
    if path.is_symlink() or (hasattr(os, "geteuid") and facts.st_uid != os.geteuid()):
        raise CannotCreateError(f"{path} belongs to someone else", hint="set XDG_RUNTIME_DIR to a folder of your own")
    path.chmod(0o700)


def _end_orphans(runtime: Path) -> None:
    """End what runs that were killed left behind, and remove their folders.

    An aria2c looks for its owner once in a while, and until then goes on writing to parts that are ours by now.
    """
    try:
        names = [path.name for path in runtime.iterdir()]
    except FileNotFoundError:  # another run, which ended, removes it when it is empty
        return
    for name in names:
        kind, _, owner = name.rpartition("-")[0].partition("-")
        if kind != "run" or not owner.isdecimal() or _is_alive(int(owner)):
            continue
        folder = runtime / name
        orphan = _orphan(folder)
        if orphan:
            _kill(orphan)
            _await_end(orphan)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(runtime: Path) -> None:
    """End orphans, and remove the runtime folder when nothing is left in it."""
    _end_orphans(runtime)
    with contextlib.suppress(OSError):
        runtime.rmdir()  # unless another run, or the background daemon, has something there


class PrivateDaemon:
    """An aria2c that lives as long as this process at most. Use as a context manager.

    `concurrency` downloads run at once, the rest wait; `max_speed` is bytes per second over all, 0 for no limit.
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
        resolvers: Sequence[str] = (),
        ca_bundle: Path | None = None,
    ) -> None:
        self._folder = private_folder(runtime) / f"run-{os.getpid()}-{secrets.token_hex(4)}"
        self._concurrency = concurrency
        self._max_speed = max_speed
        self._resolvers = tuple(resolvers)
        self._ca_bundle = ca_bundle
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateDaemon:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> Endpoint:
        """Start it, or start it again. Returns where it listens once it answers. Raises DaemonError."""
        self._end()
        _end_orphans(self._folder.parent)
        self._make_folder()
        self._process, endpoint = _launch(
            self._folder,
            owner_pid=os.getpid(),
            concurrency=self._concurrency,
            max_speed=self._max_speed,
            resolvers=self._resolvers,
            ca_bundle=self._ca_bundle,
        )
        _write_state(self._folder, self._process.pid, endpoint)
        return endpoint

    def check(self, staging: Path) -> None:
        """Nothing to check: it runs here, as us, and takes all that it is given."""

    def _make_folder(self) -> None:
        """With the mode 0700 for both folders, whoever removes the upper one in between."""
        for _ in range(_FOLDER_TRIES):
            private_folder(self._folder.parent)
            with _written(self._folder), contextlib.suppress(FileNotFoundError):
                self._folder.mkdir(mode=0o700, exist_ok=True)
                return

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def stop(self) -> None:
        """End it and remove what it needed; safe to call twice."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()  # unless another run, or the background daemon, has something there

    def _end(self) -> None:
        if self._process is not None:
            # Its downloads are removed by now, and aria2c takes a second to end by SIGTERM.
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class BackgroundDaemon:
    """The one background aria2c of this user, known by a state file (0600) in the runtime folder."""

    runtime: Path

    def find(self) -> tuple[int, Endpoint] | None:
        """Its (pid, endpoint) when it runs and takes our secret, else None."""
        try:
            state = json.loads((self.runtime / _STATE).read_bytes())
            pid, endpoint = int(state["pid"]), Endpoint(str(state["url"]), str(state["secret"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError):
            return None
        rpc = Rpc(endpoint, timeout=5)
        try:
            rpc.version()
        except DaemonError:
            return None
        finally:
            rpc.close()
        return pid, endpoint

    def start(self, ca_bundle: Path | None = None) -> tuple[int, Endpoint]:
        """The running one, or a new one that believes `ca_bundle`. Raises DaemonError."""
        from filelock import FileLock

        # Two starts at once would leave one daemon that nobody knows.
        with FileLock(private_folder(self.runtime) / "daemon.lock"):
            running = self.find()
            if running:
                return running
            process, endpoint = _launch(
                self.runtime, owner_pid=None, concurrency=_BACKGROUND_CONCURRENCY, max_speed=0, ca_bundle=ca_bundle
            )
            _write_state(self.runtime, process.pid, endpoint)
            return process.pid, endpoint

    def stop(self) -> int | None:
        """End it, with whatever it is doing. Returns its pid, or None when none ran."""
        running = self.find()
        (self.runtime / _STATE).unlink(missing_ok=True)
        for name in (_CONF, "aria2.log", "daemon.lock"):
            (self.runtime / name).unlink(missing_ok=True)
        if not running:
            return None
        # It has just answered with our secret, so the pid is its own. By RPC it would take three seconds longer.
        pid, _ = running
        os.kill(pid, signal.SIGTERM)
        _await_end(pid)
        return pid


def _launch(
    folder: Path,
    *,
    owner_pid: int | None,
    concurrency: int,
    max_speed: int,
    resolvers: Sequence[str] = (),
    ca_bundle: Path | None = None,
) -> tuple[subprocess.Popen[bytes], Endpoint]:
    program = find_aria2c()
    _allow_open_files()
    failure = ""
    for _ in range(_TRIES):
        # The port is free now but may be taken in the next instant: then aria2c ends at once and we try another.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        endpoint = Endpoint(f"http://127.0.0.1:{port}/jsonrpc", secrets.token_urlsafe(32))
        text = render(
            "daemon.conf",
            port=port,
            secret=endpoint.secret,
            owner_pid=owner_pid,
            concurrency=concurrency,
            max_speed=max_speed,
            resolvers=resolvers,
            ca_bundle=ca_bundle,
        )
        conf, log = folder / _CONF, folder / "aria2.log"
        _write_private(conf, text)
        with _written(log):
            output = log.open("wb")
        with output:
            # One that outlives its run for a second writes what nobody has journalled, which is then fetched twice.
            start = TiedChild if owner_pid else UntiedChild
            process = start(
                [str(program), f"--conf-path={conf}"],
                stdout=output,
                stderr=output,
                cwd=folder,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )
        if _answers(process, endpoint):
            return process, endpoint
        _end_process(process)
        failure = log.read_text(errors="replace").strip()[-400:]
    raise DaemonError(f"aria2c does not start: {failure or 'it said nothing'}", hint="try: aria2c --version")


def _allow_open_files() -> None:
    """A connection and a file for each span: raise the limit that aria2c inherits, or say that it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < _FEWEST_OPEN_FILES:
            raise DiskIOError(
                f"only {most} files may be open at once, and aria2 needs {_FEWEST_OPEN_FILES}",
                hint="raise the limit of open files: ulimit -n 4096",
            )


def _answers(process: subprocess.Popen[bytes], endpoint: Endpoint) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # A bare connect costs a few microseconds; the RPC client is made only once someone listens.
        with socket.socket() as probe:
            port = int(endpoint.url.rsplit(":", 1)[1].split("/")[0])
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    rpc = Rpc(endpoint, timeout=5)
    try:
        rpc.version()
    except DaemonError:
        return False
    finally:
        rpc.close()
    return process.poll() is None


def _end_process(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _orphan(folder: Path) -> int | None:
    """The pid of the aria2c that was started with this folder's configuration and still runs."""
    try:
        pid = int(json.loads((folder / _STATE).read_bytes())["pid"])
        # One that is frozen does not answer, so its command line is asked first.
        if str(folder / _CONF) in Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace"):
            return pid
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    found = BackgroundDaemon(folder).find()
    return found[0] if found else None


def _await_end(pid: int) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_alive(pid):
        if time.monotonic() > deadline:
            _kill(pid)
            break
        time.sleep(0.02)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended, or another run was quicker
        os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}


def _write_state(folder: Path, pid: int, endpoint: Endpoint) -> None:
    _write_private(folder / _STATE, json.dumps({"pid": pid, "url": endpoint.url, "secret": endpoint.secret}))


def _write_private(path: Path, text: str) -> None:
    with _written(path):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Translate the errors of writing `path`, which lies in the runtime folder."""
    try:
        yield
    except OSError as error:
        translated = translate(error, "write", path)
        translated.hint = "set XDG_RUNTIME_DIR to a folder of your own, on a disk with room"
        raise translated from error


def _is_alive(pid: int) -> bool:
    """True while a process runs; one that ended but was not reaped, by us or by a lazy init, does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return True
