"""A follower composed from settings and what the command line says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.compose import state_of
from orchestrator.app.desired.company import company_of_sets
from orchestrator.app.desired.work import CacheWork
from orchestrator.app.logins import open_client
from orchestrator.cache.layout import CacheLayout
from orchestrator.core.addresses import Place, is_this_machine
from orchestrator.core.sizes import format_size
from orchestrator.desired.face import showing
from orchestrator.desired.following import polling
from orchestrator.desired.following.follower import follow
from orchestrator.desired.following.looking import Followed
from orchestrator.desired.following.memory import MemoryFile
from orchestrator.desired.following.request import VERIFY, FollowPorts, FollowReport, FollowRequest
from orchestrator.desired.sets import SetStore, sets_beside
from orchestrator.desired.sources.artifact import ArtifactSource
from orchestrator.desired.sources.files import FileSource
from orchestrator.desired.sources.git import GitRules, GitSource
from orchestrator.desired.sources.interface import DesiredSource, Vouched, anybody
from orchestrator.desired.sources.signed import SignedFiles
from orchestrator.desired.status import SetStatus, render
from orchestrator.desired.wish.address import ArtifactAddress, GitAddress, SourceAddress
from orchestrator.desired.wish.document import SetBudget
from orchestrator.desired.wish.labels import parse_labels
from orchestrator.desired.wish.wanted import SetRules
from orchestrator.disk.atomic import write_file
from orchestrator.errors import GlmAriaError, UsageError
from orchestrator.events import Emit, Flipped, Notice
from orchestrator.platform.host import host_name
from orchestrator.settings import Settings
from orchestrator.supervisor import PATIENCE, tell
from orchestrator.system.failures import on_disk
from orchestrator.system.signals import Stop
from orchestrator.system.small_files import SETTINGS_BYTES, read_small

if TYPE_CHECKING:
    from orchestrator.watch.on_change import Hook


@dataclass(frozen=True, slots=True)
class SetRequest:
    """The wish of a user for a follower. `sets` is the folder of sets, None for the one beside the cache; `listen` is
    the place where the status is shown; `signers` are who may sign, and `may_go_back` takes what they signed before."""

    sources: tuple[SourceAddress, ...]
    name: str = "site"
    sets: Path | None = None
    interval: float = polling.INTERVAL
    once: bool = False
    budget: SetBudget = field(default_factory=SetBudget)
    grace: float | None = None
    verify_every: float = VERIFY
    signers: Path | None = None
    may_go_back: bool = False
    listen: Place | None = None
    safe_only: bool = False


def follow_sources(
    settings: Settings,
    request: SetRequest,
    hook: Hook | None,
    *,
    stop: Stop,
    emit: Emit,
    on_ready: Callable[[int | None], None] = lambda _: None,
) -> FollowReport:
    """Follow the sources until `stop` is set; `on_ready` is told the port of the status. Raises UsageError for what the
    request says wrong, CannotCreateError where nothing can listen, and what `follow` does."""
    if settings.offline:
        raise UsageError("a follower needs the network, and the settings say offline")
    if request.signers is not None and not request.signers.exists():
        raise UsageError(
            f"there are no allowed signers at {request.signers}", hint="see ALLOWED SIGNERS: man ssh-keygen"
        )
    labels = labels_of(settings)
    rules = SetRules(request.safe_only, settings.portable)
    state = state_of(settings)
    store = store_of(settings, request.name, request.sets)
    shown = _Shown(store)
    if request.listen is not None and not is_this_machine(request.listen.host):
        emit(
            Notice(
                "status-open", f"who reaches {request.listen} may read which models this node has; no more than that"
            )
        )
    asked = FollowRequest(
        labels,
        labels["node"],
        request.interval,
        request.once,
        request.budget,
        request.grace,
        rules,
        request.verify_every,
    )
    with (
        showing(request.listen, shown.look) as port,
        company_of_sets(settings, stop, emit, once=request.once) as pull,
    ):
        on_ready(port)
        ports = FollowPorts(
            tuple(_followed(address, request, settings, stop) for address in request.sources),
            store,
            MemoryFile(state, store.folder),
            CacheWork(settings, rules, request.name, pull),
            lambda flip: _run_hook(flip, hook, stop, emit),
            shown.show,
        )
        try:
            return follow(asked, ports, stop, emit)
        finally:
            tell("STOPPING=1", patience=PATIENCE)


def store_of(settings: Settings, name: str, sets: Path | None) -> SetStore:
    """The sets of a name, for the cache of the settings."""
    layout = CacheLayout.at(settings.cache_dir)
    return SetStore(sets or sets_beside(layout), name, layout)


def labels_of(settings: Settings) -> Mapping[str, str]:
    """The labels of this node: its name, system, processor and zone, and those of the settings, which count more."""
    own = {"node": host_name(), "os": sys.platform, "arch": platform.machine()}
    zone = {"zone": settings.fleet_zone} if settings.fleet_zone else {}
    return {**own, **zone, **parse_labels(settings.node_labels)}


class _Shown:
    """Shows the newest status: as a file, to who asks over HTTP, and to the service manager."""

    def __init__(self, store: SetStore) -> None:
        self._store = store
        self._status: SetStatus | None = None
        self._turned = time.monotonic()

    def show(self, status: SetStatus) -> None:
        if self._status is None:
            tell("READY=1", patience=PATIENCE)
        tell("WATCHDOG=1", f"STATUS={_line(status)}")
        self._status, self._turned = status, time.monotonic()
        # On a full disk the last one stays, whose time tells that.
        with contextlib.suppress(GlmAriaError):
            write_file(self._store.status, render(status), self._store.folder, mode=0o644, durable=False)

    def look(self) -> tuple[SetStatus | None, float]:
        return self._status, self._turned


def _line(status: SetStatus) -> str:
    counts = f"generation {status.observed_generation} of {status.generation}"
    left = f", {format_size(status.bytes_to_go)} to go" if status.bytes_to_go else ""
    return f"{status.set} is {status.phase}, {counts}{left}"


def source_at(address: SourceAddress, signers: Path | None, settings: Settings, stop: Stop) -> DesiredSource:
    """The source at an address. Raises ConfigError for one that anybody on the way could stand in for."""
    if isinstance(address, GitAddress):
        return GitSource(address, GitRules(settings.ca_bundle, signers), os.environ, stop)
    if isinstance(address, ArtifactAddress):
        client = partial(open_client, settings, address.repository, stop)
        return ArtifactSource(address, client, is_signed=signers is not None)
    return FileSource(address.path)


def _followed(address: SourceAddress, request: SetRequest, settings: Settings, stop: Stop) -> Followed:
    source, signers = source_at(address, request.signers, settings, stop), request.signers
    vouched: Vouched = anybody
    if signers is not None and not isinstance(address, GitAddress):
        if signers.is_dir():
            raise UsageError(
                f"{address}: files are signed with keys of ssh, and {signers} is a keyring of gpg",
                hint="--allowed-signers FILE",
            )
        vouched = SignedFiles(signers, os.environ)
    return Followed(str(address), source, vouched, _word_of(signers), request.may_go_back)


def _word_of(signers: Path | None) -> str:
    """A word for who may sign, which changes with the file: what was taken under others has to be asked for again."""
    if signers is None or signers.is_dir():
        return "" if signers is None else str(signers)
    with on_disk("read", signers):
        return hashlib.sha256(read_small(signers, SETTINGS_BYTES, follow=True)).hexdigest()


def _run_hook(flip: Flipped, hook: Hook | None, stop: Stop, emit: Emit) -> None:
    emit(flip)
    if hook is not None and (failure := hook.run(flip, stop)):
        emit(Notice("hook-failed", f"--on-change for {flip.model}: {failure}"))
