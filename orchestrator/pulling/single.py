"""A single file by its address and sha256: the same transfer and proof as a model's, into a plain folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.cache.staging import Staging
from orchestrator.core.extents import Ranges
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.names import check_path, refuse_unportable
from orchestrator.core.plan import Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Body, Origin, RangeAnswer, Sent, Source
from orchestrator.core.trust import Trust
from orchestrator.depot.candidates import Candidates
from orchestrator.depot.depot import Depot
from orchestrator.depot.messages import DepotMessage, Proven
from orchestrator.depot.mover import Mover
from orchestrator.disk import space
from orchestrator.disk.conflicts import look_at, refuse_closed, refuse_no_folder
from orchestrator.errors import (
    CannotCreateError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    ProtocolError,
    UsageError,
)
from orchestrator.events import Emit, FileProgress, ModelPhase, Phase, Queued
from orchestrator.folders.single_file import is_there, place_single
from orchestrator.mirrors.ranges import ask_for_range
from orchestrator.mirrors.small_files import FileRange, open_body
from orchestrator.mirrors.sources import Sources
from orchestrator.net import shapes
from orchestrator.net.session import Net
from orchestrator.net.statuses import Then, meaning
from orchestrator.pulling.report import FileReport, FileState, ModelReport, PullReport
from orchestrator.resolve.naming import refuse_odd_names
from orchestrator.system.inbox import Inbox
from orchestrator.system.signals import Stop
from orchestrator.transfer.interface import Already, Lost, Terms, Uri


class _OneAddress:
    """The locator of a file that has one address, and nothing to compare it with."""

    def __init__(self, uri: Uri, net: Net) -> None:
        self._uri = uri
        self._net = net
        self.choice = Candidates(lambda _job: {uri.source: None})

    def candidates(self, job: Job) -> tuple[str, ...]:
        return self.choice.of(job)

    def reach(self, job: Job, source: str) -> Ranges | None:  # noqa: ARG002 - the port's signature, as below
        return None

    def pick(self, job: Job, source: str, free: Ranges) -> int | None:  # noqa: ARG002
        return None

    def terms(self, source: str) -> Terms:  # noqa: ARG002
        return Terms()

    def locate(self, job: Job, source: str) -> Uri:  # noqa: ARG002
        return self._uri

    def fetch(self, job: Job, source: str, start: int, end: int) -> Body:
        wanted = FileRange(job.name, urlsplit(self._uri.url).path, job.size, start, end)
        return open_body(self._net, Source(source, self._uri.url), self._uri.url, wanted)[0]

    def inspect(self, job: Job, uri: Uri, start: int, end: int) -> RangeAnswer:  # noqa: ARG002
        return ask_for_range(self._net, Source(uri.source, ""), uri.url, start, end)

    def reconnect(self) -> None:
        self._net.reconnect()


def fetch_single(  # noqa: PLR0913 - a request without a plan
    url: str,
    digest: Digest,
    folder: Path,
    *,
    sources: Sources,
    staging: Staging,
    mover: Mover,
    stop: Stop,
    emit: Emit,
    force: bool,
    portable: bool = False,
) -> PullReport:
    """Fetch `url` into `folder` under its own last path part; `force` does so even when something is there.

    Raises GlmAriaError before anything is written: CannotCreateError for another file of that name, UnsafeError for a
    name that the disk cannot hold, or with `portable` that some system cannot.
    """
    started = time.monotonic()
    shown = urlsplit(url)._replace(query="", fragment="").geturl()
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not name:
        raise UsageError(f"{shown} names no file", hint="the address must end with a file name")
    target = folder / check_path(name)
    if portable:
        refuse_unportable([name])
    trust = Trust("single", shown)
    size = _size(url, shown, sources.patient)
    file = RepoFile(name, size, digest, is_lfs=True)
    state, error = FileState.ALREADY, None
    sent: Sent = {}
    if force or not is_there(target, file, stop=stop):
        if not force and look_at(target) is not None:
            raise CannotCreateError(
                f"{os.fspath(target)!r} exists, and is not the requested file; nothing was changed",
                hint="move it away, choose another --local-dir, or replace it with --force",
                file=os.fspath(target),
            )
        refuse_no_folder(folder)
        refuse_closed(folder)
        refuse_odd_names([file], folder)
        stop.is_abrupt = False
        emit(ModelPhase(shown, Phase.FETCHING))
        space.check(size, staging.folder)
        space.check(size, folder, flag="--local-dir")
        space.check_largest(size, staging.folder)
        space.check_largest(size, folder)
        locator = _OneAddress(Uri(urlsplit(url).netloc, url), sources.patient)
        inbox: Inbox[DepotMessage] = Inbox(mover.make_pool)
        depot = Depot(
            locator,
            sources,
            staging,
            mover,
            inbox=inbox,
            is_placed=lambda _job: False,
            stop=stop,
            emit=emit,
        )
        emit(Queued(1, size))
        depot.want(_job(file))
        state, error, sent = _fetch(depot, inbox, file, target, stop=stop, emit=emit)
    else:
        staging.remove(digest)  # of a run that was killed after it had placed the file
    emit(ModelPhase(shown, Phase.FAILED if error else Phase.DONE))
    report = ModelReport(
        shown, None, trust, None, folder, (FileReport(file, state, sent),), time.monotonic() - started, error
    )
    return PullReport((report,), stop.signal_number if stop.is_set() else None)


def _size(url: str, shown: str, net: Net) -> int:
    with net.stream(url) as stream:
        row = meaning(stream.status)
        if row.then is not Then.TAKE:
            raise row.error(f"{shown} answered HTTP {stream.status}")
        announced = shapes.whole(stream.headers.get("Content-Length", ""))
    if announced is None:
        raise ProtocolError(f"{shown} announces no size", hint="fetch it with curl, then check it with sha256sum")
    return announced


def _job(file: RepoFile) -> Job:
    return Job(file.digest, file.size, True, (Origin(RepoId(RepoType.MODEL, "single/file"), "0" * 40, file.path),))


def _fetch(
    depot: Depot, inbox: Inbox[DepotMessage], file: RepoFile, target: Path, *, stop: Stop, emit: Emit
) -> tuple[FileState, GlmAriaError | None, Sent]:
    with depot:
        while not stop.is_set():
            for message in inbox.take(depot.poll()):
                match depot.take(message):
                    case Lost(error=error):
                        return FileState.LOST, error, {}
                    case Already():
                        raise IntegrityError(f"{file.path!r} was taken by another run", hint="run it again")
                    case Proven() as proven:
                        place_single(proven.file, target)
                        emit(FileProgress(file.digest, file.path, Phase.DONE, file.size, file.size))
                        return FileState.FETCHED, None, proven.sent
    return FileState.SKIPPED, Interrupted(stop.signal_number), {}
