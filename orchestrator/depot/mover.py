"""The mover of a run's bytes: one aria2c, within limits, through proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.core.network.proxies import Proxies, Way
from orchestrator.core.plan import Job
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import OWN_MATTER, Company, Doubt, Engine
from orchestrator.errors import GlmAriaError, TemporaryError, TrustError
from orchestrator.system.threads import MakePool, Pool
from orchestrator.transfer.interface import Admission, Locator, TransferEvent
from orchestrator.transfer.limits import START, TransferLimits

if TYPE_CHECKING:
    from orchestrator.transfer.feeder import Feeder


class Daemon(Protocol):
    """The aria2c of a run: a context manager that ends what is ours to end."""

    @property
    def restartable(self) -> bool:
        """True when `start` may be called again after the daemon died."""

    def start(self) -> Endpoint:
        """The endpoint of the daemon; started first if it is ours. Raises DaemonError."""

    def check(self, staging: Path) -> int | None:
        """The number of downloads that it runs at once; None for no limit.

        Raises DaemonError unless what the daemon writes into `staging` lands on the disk that we see.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Home:
    """The address of a source, and how many connections it begins with when it is far."""

    url: str
    begin: int = START


NOWHERE = Home("")
"""The home of who is no site: another node of a fleet."""


@dataclass(frozen=True, slots=True)
class Mover:
    """`daemon` makes the daemon, only when something is to be fetched. `proxies` are for it; where they say nothing,
    it has its own. `ca_bundle` are the certificates that are believed, None for the usual ones. `make_pool` makes the
    pools of threads of a run: with `SerialPool` all is done by the thread that drives it, in an order that a test can
    count on. `company` are others who take part in what is fetched.
    """

    daemon: Callable[[], Daemon]
    limits: TransferLimits = field(default_factory=TransferLimits)
    proxies: Proxies = field(default_factory=Proxies)
    ca_bundle: Path | None = None
    make_pool: MakePool = Pool
    company: Company | None = None

    def accompanied(self, locator: Choosing, engine: Engine) -> Choosing:
        """The locator of a depot with the sources of its company, which gets to know the depot."""
        if self.company is None:
            return locator
        self.company.join(engine)
        return self.company.around(locator)

    def doubt(self, job: Job, locator: Choosing) -> Doubt | None:
        """The word of its company on a wrong blob, as `Company.doubt` has it."""
        trusted = locator.choice.all(job)[:1]
        return self.company.doubt(job.digest, *trusted) if self.company and trusted else OWN_MATTER

    @contextmanager
    def open(
        self,
        locator: Locator,
        stage: Path,
        *,
        part: Callable[[Job], Path],
        admit: Callable[[Job], Admission],
        tell: Callable[[TransferEvent], None],
        wake: Callable[[], None],
        home: Callable[[str], Home],
    ) -> Iterator[Feeder]:
        """A transfer into `stage`, which is stopped at the end; `home` gives that of a source by its name; the
        others are those of `Feeder`.

        Raises DaemonError when there is no daemon that can write there.
        """
        from orchestrator.aria2.options import way_options
        from orchestrator.transfer.feeder import Feeder

        @cache
        def way(source: str) -> Mapping[str, str]:
            is_direct = locator.terms(source).is_direct
            return way_options(Way() if is_direct else self.proxies.way(home(source).url))

        with self.daemon() as daemon:
            transfer = Feeder(
                daemon.start,
                locator,
                part=part,
                admit=admit,
                tell=tell,
                wake=wake,
                limits=replace(self.limits, downloads=daemon.check(stage)),
                restartable=daemon.restartable,
                way=way,
                begin=lambda source: home(source).begin,
                make_pool=self.make_pool,
            )
            try:
                yield transfer
            finally:
                transfer.stop()

    def explain(self, error: GlmAriaError, *, is_ours: bool) -> None:
        """Say of a job that was lost what may have been the reason, where the daemon is not `is_ours`."""
        if self.ca_bundle and not is_ours and isinstance(error, TemporaryError | TrustError):
            # aria2 cannot be told certificates for one download, and does not say that they were the reason.
            error.hint = (
                f"this aria2 is not glm-aria's own: if it does not know the certificates, put ca-certificate="
                f"{self.ca_bundle} into its configuration, or run without --rpc"
            )
