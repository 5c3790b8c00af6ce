"""A daemon that runs already: the user's own, or our background one. It is used, never started, changed or ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.aria2.endpoint import Endpoint, OpenRpc
from orchestrator.aria2.others import refuse_unfit
from orchestrator.aria2.rpc import Rpc
from orchestrator.aria2.spelling import is_told, untold
from orchestrator.errors import DaemonError
from orchestrator.system.failures import shown

_GLANCE_SECONDS = 2.5  # aria2 answers a wrong secret after nearly two


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """Fits where a `PrivateDaemon` fits."""

    endpoint: Endpoint
    restartable: bool = False

    def __enter__(self) -> RunningDaemon:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Leave the daemon running: it is not ours."""

    def start(self) -> Endpoint:
        """The endpoint of the daemon."""
        return self.endpoint

    def check(self, staging: Path) -> int:
        """The number of downloads that it runs at once.

        Raises DaemonError unless it answers, has no option that does harm to our downloads, and what it writes into
        `staging` lands on the disk that we see; CannotCreateError where it cannot be told that path.
        """
        if not is_told(staging):
            raise untold(staging)
        rpc = Rpc(self.endpoint)
        try:
            rpc.version()
            options, _ = rpc.circumstances()
            refuse_unfit(self.endpoint.url, options)
            if not rpc.writes_into(staging):
                raise DaemonError(
                    f"the aria2 daemon at {self.endpoint.url} does not write to this disk: none of its files arrives in"
                    f" {shown(str(staging))!r}. It runs on another machine, in a container, or as another user",
                    hint="leave out --rpc, or give both the same folder with --cache-dir",
                )
            return int(options.get("max-concurrent-downloads", "5"))
        finally:
            rpc.close()


def open_rpc(url: str) -> OpenRpc | None:
    """The daemon that listens at `url`, if it is an aria2 that obeys without a secret. Takes seconds at most."""
    rpc = Rpc(Endpoint(url), timeout=_GLANCE_SECONDS)
    try:
        rpc.version()
        return OpenRpc(url, rpc.conf_path())
    except DaemonError:
        return None
    finally:
        rpc.close()
