"""A push, composed from settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from orchestrator.app.compose import known_state, logins_of, proxies_of
from orchestrator.app.registry.remote import RegistryServices
from orchestrator.events import Emit
from orchestrator.net.session import Net
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from orchestrator.publishing.destinations import Destination, ModelDestination, TagDestination
from orchestrator.publishing.push import PushReport, PushRequest, push
from orchestrator.publishing.targets import TagTarget, VersionTarget
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop, stoppable


def push_folder(
    settings: Settings, request: PushRequest, target: TagTarget | VersionTarget, mounts: tuple[str, ...], emit: Emit
) -> PushReport:
    """Push a folder. `mounts` are repositories of the registry of a tag that may have some of the files."""
    with stoppable() as stop, open_destination(settings, target, mounts, stop) as destination:
        return push(request, destination, emit=emit, stop=stop)


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
    with Net(proxies=proxies_of(settings), ca_bundle=settings.ca_bundle, sleep=stop.wait) as net:
        registries = Registries(net, partial(logins_of, settings))
        yield TagDestination(Client(registries, target.repository), target.tag, begun, mounts)
