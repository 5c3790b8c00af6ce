"""A house with a depot: a hub with one repo, mirrors of it, a cache, and who wants what."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.aria2.daemon import PrivateDaemon
from orchestrator.cache.cache import Cache
from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Have, Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.depot.company import Company
from orchestrator.depot.locate import SourceLocator
from orchestrator.depot.messages import Proven
from orchestrator.depot.mover import Mover
from orchestrator.depot.other_catalogs import OtherCatalogs
from orchestrator.depot.resident import Forgiving, Here, Resident
from orchestrator.depot.watch import Watch
from orchestrator.errors import GlmAriaError
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from orchestrator.transfer.limits import TransferLimits
from tests import plain
from tests.hub.content import MIB
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.plain import Heard

REPO = RepoId(RepoType.MODEL, "org/m")


@dataclass
class Daemons:
    """The daemons of a depot that were made, the newest last."""

    runtime: Path
    made: list[PrivateDaemon] = field(default_factory=list)

    def __call__(self) -> PrivateDaemon:
        self.made.append(PrivateDaemon(self.runtime, concurrency=64))
        return self.made[-1]

    @property
    def pid(self) -> int:
        pid = self.made[-1].pid
        assert pid is not None
        return pid


class House:
    """Blobs of one repo, wanted of residents over one cache."""

    def __init__(self, stack: ExitStack, folder: Path, runtime: Path, files: Mapping[str, bytes]) -> None:
        self.stack, self.folder, self.files = stack, folder, dict(files)
        self.repo = Repo("model", "org/m", self.files)
        self.hub = stack.enter_context(LoopbackHub([self.repo]))
        self.net = stack.enter_context(Net(limits=Limits(connect=2, read=4, deadline=5, attempts=1)))
        self.sources: list[Source] = [Source("hub", self.hub.url, is_root=True)]
        self.stats = plain.PlainStats()
        self.daemons = Daemons(runtime)
        self.cache = stack.enter_context(plain.cache(folder))
        self.listing = {path: self._file(path, data) for path, data in files.items()}
        self.placed: list[str] = []

    def _file(self, path: str, data: bytes) -> RepoFile:
        return RepoFile(path, len(data), Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest()), is_lfs=True)

    def mirror(self, name: str, **given: Any) -> None:
        """Add a mirror, for residents that are made after this."""
        self.sources.append(Source(name, self.hub.mirror(name, **given).url))

    def job(self, path: str = "big.safetensors") -> Job:
        file = self.listing[path]
        return Job(file.digest, file.size, file.size > MIB, (Origin(REPO, self.repo.head, path),))

    def resident(
        self,
        *,
        cache: Cache | None = None,
        limits: TransferLimits | None = None,
        patience: Forgiving | None = None,
        company: Company | None = None,
    ) -> Resident:
        cache = cache or self.cache
        heard = Heard()
        sources = plain.sources(*self.sources, stats=self.stats, net=self.net)
        locator = SourceLocator(sources, OtherCatalogs((), plain.sites(), heard), heard)
        made = Resident(
            locator,
            sources,
            cache.staging,
            Mover(self.daemons, limits or TransferLimits(), company=company),
            place=lambda batch: self._place(cache, batch),
            is_placed=lambda job: self._is_placed(cache, job),
            emit=heard,
            patience=patience,
        )
        self.heard = heard
        self.stack.callback(made.close)
        return made

    def _place(self, cache: Cache, batch: Sequence[Here]) -> Mapping[Digest, GlmAriaError]:
        by_digest = {file.digest: file for file in self.listing.values()}
        proven = [one for one in batch if isinstance(one, Proven)]
        cache.blobs.place(REPO, self.repo.head, [(one.file, by_digest[one.job.digest]) for one in proven])
        self.placed += [one.job.name for one in proven]
        return {}

    def _is_placed(self, cache: Cache, job: Job) -> bool:
        file = self.listing[job.name]
        return cache.blobs.find(REPO, [file])[file.digest].have is Have.PLACED

    def blob(self, path: str = "big.safetensors") -> bytes:
        return self.cache.layout.blob(REPO, self.listing[path].digest).read_bytes()


MakeHouse = Callable[[Mapping[str, bytes]], House]


def until(watch: Watch, condition: Callable[[Watch], object], seconds: float = 60.0) -> None:
    """Wait until it holds, looking at each change."""
    deadline, seen = time.monotonic() + seconds, -1
    while not condition(watch):
        assert time.monotonic() < deadline, (watch.state, watch.error, watch.arrived)
        seen = watch.wait(seen, 1.0)


def is_over(watch: Watch) -> bool:
    return watch.has_ended
