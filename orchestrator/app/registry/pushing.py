"""A push, composed from settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestrator.app.compose import known_state
from orchestrator.app.logins import open_client
from orchestrator.app.registry.remote import RegistryServices
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.events import Emit
from orchestrator.oci.begun import BegunUploads
from orchestrator.publishing.destinations import Destination, ModelDestination, TagDestination
from orchestrator.publishing.developing import Development, push_on_save
from orchestrator.publishing.push import PushReport, PushRequest, push
from orchestrator.publishing.targets import TagTarget, VersionTarget
from orchestrator.registry.versions import Version
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop, stoppable


def push_folder(
    settings: Settings, request: PushRequest, target: TagTarget | VersionTarget, mounts: tuple[str, ...], emit: Emit
) -> PushReport:
    """Push a folder. `mounts` are repositories of the registry of a tag that may have some of the files."""
    with stoppable() as stop, open_destination(settings, target, mounts, stop) as destination:
        return push(request, destination, emit=emit, stop=stop)


def push_folder_on_save(
    settings: Settings,
    request: PushRequest,
    target: TagTarget | VersionTarget,
    mounts: tuple[str, ...],
    *,
    on_push: Callable[[PushReport], None],
    emit: Emit,
) -> tuple[PushReport, int]:
    """Push a folder as development versions of a target, now and on each save, until a signal comes; the last push, and
    the signal. Raises UsageError for a target that is no release."""
    release = Version.of_tag(target.version if isinstance(target, VersionTarget) else target.tag)
    if release is None or release.prerelease or release.build:
        raise UsageError(
            "--watch pushes versions before a release, and the target is none",
            hint="name the release that you work on, for example :1.2.0; it makes 1.2.0-dev.1, 1.2.0-dev.2, …",
        )
    with stoppable() as stop:
        versions = _ModelVersions(settings, target, mounts, stop)
        wanted = Development(request, release)
        return push_on_save(wanted, versions, on_push, emit=emit, stop=stop), stop.signal_number


@dataclass(frozen=True, slots=True)
class _ModelVersions:
    """Implements `Destinations`."""

    settings: Settings
    target: TagTarget | VersionTarget
    mounts: tuple[str, ...]
    stop: Stop

    def versions(self) -> tuple[Version, ...]:
        with contextlib.suppress(NotFoundError):
            if isinstance(self.target, VersionTarget):
                found = RegistryServices(self.settings).versions(self.target.model).versions
                return tuple(filter(None, (Version.of_tag(one.version) for one in found)))
            with open_client(self.settings, self.target.repository, self.stop) as client:
                return tuple(filter(None, map(Version.of_tag, client.tags())))
        return ()

    def at(self, version: Version) -> contextlib.AbstractContextManager[Destination]:
        target = self.target
        one = (
            replace(target, version=str(version))
            if isinstance(target, VersionTarget)
            else replace(target, tag=version.tag)
        )
        return open_destination(self.settings, one, self.mounts, self.stop)


@contextlib.contextmanager
def open_destination(
    settings: Settings, target: TagTarget | VersionTarget, mounts: tuple[str, ...], stop: Stop
) -> Iterator[Destination]:
    """The destination of pushes to a target."""
    if isinstance(target, VersionTarget):
        with RegistryServices(settings).kept() as server:
            yield ModelDestination(server, target.model, target.version)
        return
    state = known_state(settings, create=True)
    begun = BegunUploads(state, state / "stage")
    with open_client(settings, target.repository, stop) as client:
        yield TagDestination(client, target.tag, begun, mounts)
