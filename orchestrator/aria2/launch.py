"""Start an aria2c of ours, and prove that it, and nobody else, listens on its port, before the secret is shown there.

Any user of the machine may listen on any port of loopback. Where the port is taken, aria2c goes on with IPv6 alone, so
that it runs says nothing about who answers on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.program import find_aria2c, install_command, is_packaged
from orchestrator.aria2.rpc import Rpc
from orchestrator.aria2.transport import usual_bundle
from orchestrator.disk.private import PrivateFolder
from orchestrator.errors import DaemonError, DiskIOError, GlmAriaError, UsageError
from orchestrator.platform import rlimits
from orchestrator.system.certificates import system_bundle
from orchestrator.system.children import TiedChild, UntiedChild
from orchestrator.system.failures import FILES_HINT
from orchestrator.system.limits import MEMORY_HINT, PROCESSES_HINT, allow_open_files, most_processes
from orchestrator.system.listeners import Holder, Listener, holder
from orchestrator.system.processes import Process, parse_pid, started
from orchestrator.templating import render

CONF, LOG, STATE = "aria2.conf", "aria2.log", "daemon.json"
_START_SECONDS = 10.0
_SILENT_TRIES = 3
_TRIES = 20
"""Ports that are tried, each with another secret, before somebody else's on all of them is an error."""
_PORTS = range(1024, 65536)
_DRAWS = 10_000
"""Draws of a free port: where 200 are left, one chance in 10^13 not to find any."""
_WHO = "find the program that takes the ports of this machine (as root: ss -ltnp), then run the same command again"
_OPEN_FILES, _FEWEST_OPEN_FILES, _MOST_OPEN_FILES = 1024, 160, 65536
_STATE_BYTES = _LOG_BYTES = 1 << 16
# What aria2c may inherit: how to find libraries. Not HF_TOKEN, nor anything else; each download has its proxy by RPC.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration of an aria2c.

    `concurrency` downloads run at once; `max_speed` is bytes per second over all, 0 for no limit. `owner_pid` is the
    process with which it ends, None for nobody's. `receive_buffer`, `resolvers` and `ca_bundle` are those of
    `PrivateDaemon`.
    """

    concurrency: int
    owner_pid: int | None = None
    max_speed: int = 0
    receive_buffer: int | None = None
    resolvers: Sequence[str] = ()
    ca_bundle: Path | None = None


def launch(folder: PrivateFolder, setup: Setup) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """Start one with its files in `folder`. Raises DaemonError, and per `system.failures` of these files."""
    program = find_aria2c()
    if setup.ca_bundle is None and is_packaged(program):
        # It was built on another system, and knows only where certificates lie there.
        setup = replace(setup, ca_bundle=system_bundle() or usual_bundle())
    open_files = _allow_open_files()
    silent = 0
    for _ in range(_TRIES):
        port, secret = _random_port(), secrets.token_urlsafe(32)
        text = render(
            "daemon.conf",
            port=port,
            secret=secret,
            log_level="error" if Path("/proc/net/tcp").exists() else "notice",
            open_files=open_files,
            **{name: getattr(setup, name) for name in Setup.__slots__},
        )
        folder.write(CONF, text)
        process = _start(program, folder, is_tied=setup.owner_pid is not None)
        known = Process(process.pid, started(process.pid), _argument(folder.path))
        endpoint = Endpoint(f"http://127.0.0.1:{port}/jsonrpc", secret, Listener(known, port))
        try:
            _write_state(folder, known, endpoint)
            if _is_proven(process, port, folder) and _answers(endpoint) and process.poll() is None:
                return process, endpoint
        except BaseException:
            _end(process)
            raise
        status = process.poll()
        _end(process)
        said = _said(folder)
        if _failed_to_bind(said) or holder(process.pid, port) is Holder.STRANGER:
            continue
        silent += 1
        # One that somebody killed may live the next time; one that ended by itself says why.
        is_killed = status is not None and status < 0
        if (status is not None and not is_killed) or silent == _SILENT_TRIES:
            why = f"it was killed by signal {-status}" if status is not None and is_killed else "it said nothing"
            raise DaemonError(
                f"aria2c ({program}) does not start: {said.strip()[-400:] or why}",
                hint=f"try: {program} --version",
            )
    raise DaemonError(
        f"aria2c does not start: another program listened first on each of {_TRIES} random ports of"
        " 127.0.0.1; nothing was sent there",
        hint=_WHO,
    )


class CrowdedError(DaemonError):
    """Others have used up the descriptors of a daemon of ours, by connections to its port."""


def crowded() -> CrowdedError:
    """The error, in words."""
    return CrowdedError(
        "other programs hold so many connections to the port of aria2c that it cannot open a file",
        hint="list them (as root: ss -tnp), or raise the limit of open files: ulimit -Hn 65536; then run it again",
    )


def recorded(folder: PrivateFolder) -> tuple[Process, Endpoint] | None:
    """The aria2c that the state file of the folder names, as far as the text goes: nothing of it is proven."""
    try:
        state = json.loads(folder.read(STATE, _STATE_BYTES))
        pid, url, secret, since = (state[name] for name in ("pid", "url", "secret", "since"))
        pid = parse_pid(pid)
        port = int(str(url).removeprefix("http://127.0.0.1:").removesuffix("/jsonrpc"))
        if pid is None or port not in _PORTS:
            return None
        process = Process(pid, str(since), _argument(folder.path))
        return process, Endpoint(f"http://127.0.0.1:{port}/jsonrpc", str(secret), Listener(process, port))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UsageError):
        return None


def _argument(folder: Path) -> str:
    return f"--conf-path={folder / CONF}"


def _write_state(folder: PrivateFolder, process: Process, endpoint: Endpoint) -> None:
    state = {"pid": process.pid, "since": process.since, "url": endpoint.url, "secret": endpoint.secret}
    folder.write(STATE, json.dumps(state))


def _start(program: Path, folder: PrivateFolder, *, is_tied: bool) -> subprocess.Popen[bytes]:
    output = folder.create(LOG)
    try:
        # One that outlives its run for a second writes what nobody has journalled, which is then fetched twice.
        start = TiedChild if is_tied else UntiedChild
        return start(
            [str(program), _argument(folder.path)],
            stdout=output,
            stderr=output,
            cwd=folder.path,
            # Its messages are read: in English whatever the locale.
            env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT} | {"LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
    except OSError as error:
        raise _not_started(program, error) from error
    finally:
        os.close(output)


def _not_started(program: Path, error: OSError) -> GlmAriaError:
    what = f"{str(program)!r} cannot be started: {error.strerror or error}"
    if error.errno == errno.EAGAIN:
        return DaemonError(f"{what}; {most_processes()}", hint=PROCESSES_HINT)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return DiskIOError(what, hint=FILES_HINT)
    if error.errno == errno.ENOMEM:
        return DaemonError(what, hint=MEMORY_HINT)
    return DaemonError(what, hint=f"is it a program for this machine? install it: {install_command()}")


def _is_proven(process: subprocess.Popen[bytes], port: int, folder: PrivateFolder) -> bool:
    """Wait until the process listens on that port of 127.0.0.1; False when it does not, or somebody else does."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = holder(process.pid, port)
        if found is Holder.OURS:
            return True
        said = _said(folder)
        if found is Holder.STRANGER or _failed_to_bind(said):
            return False
        if found is Holder.UNKNOWN and f"IPv4 RPC: listening on TCP port {port}" in said:
            return True
        time.sleep(0.01)
    return False


def _answers(endpoint: Endpoint) -> bool:
    rpc = Rpc(endpoint, timeout=5)
    try:
        rpc.version()
    except DaemonError:
        return False
    finally:
        rpc.close()
    return True


def _failed_to_bind(said: str) -> bool:
    return "IPv4 RPC: failed to bind" in said


def _said(folder: PrivateFolder) -> str:
    try:
        return folder.read(LOG, _LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """It has done nothing yet that is worth ending in order."""
    process.kill()
    process.wait()


def _random_port() -> int:
    """A port of 127.0.0.1 that is free now. Not the kernel's choice, which is of fewer, and foreseen more easily."""
    for _ in range(_DRAWS):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DaemonError("aria2c does not start: no port of 127.0.0.1 is free", hint=_WHO)


def _allow_open_files() -> int:
    """A connection and a file for each span: raise our limit, and return the one for aria2c.

    Any user may hold connections to its port open, and each takes one: so as many as are allowed, up to what they would
    cost in memory. Raises DiskIOError when the limit is too low.
    """
    _, hard = rlimits.open_files()
    most = _MOST_OPEN_FILES if hard == rlimits.UNLIMITED else min(hard, _MOST_OPEN_FILES)
    if most < _FEWEST_OPEN_FILES:
        raise DiskIOError(
            f"only {most} files may be open at once, and aria2 needs {_FEWEST_OPEN_FILES}",
            hint=FILES_HINT,
        )
    allow_open_files(_OPEN_FILES)
    return most
