"""The examination of `doctor`, and what `config tune` looks at, composed from settings."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.app.compose import known_state, limits_of, open_direct, open_lookup, state_of
from orchestrator.app.opening import opened
from orchestrator.core.network.resolvers import NameServer
from orchestrator.core.refs import Ref
from orchestrator.disk import places
from orchestrator.disk.private import runtime_folders
from orchestrator.doctor.examine import Diagnosis, DoctorRequest, examine
from orchestrator.doctor.history import History
from orchestrator.doctor.slowdowns import slowdowns
from orchestrator.doctor.tuning import Current
from orchestrator.errors import GlmAriaError
from orchestrator.net.lookup.dns import Lookup
from orchestrator.settings import Settings, default_mirrors
from orchestrator.system.signals import Stop
from orchestrator.transfer.limits import limit_at

_LATELY = 86_400.0
"""Seconds: what an older pull met says little of now."""


def examined(settings: Settings, ref: Ref | None, compared: Sequence[NameServer], stop: Stop) -> Diagnosis:
    """Measure everything that may make a download of `ref` slow."""
    with contextlib.suppress(GlmAriaError):  # a disk that takes nothing is among what is looked for
        state_of(settings)
    state = known_state(settings)
    with (
        opened(settings, stop, create=state.is_dir(), hasty=True) as (cache, sources, sites, _),
        open_lookup(settings, state, keep=False) as lookup,
        open_direct(settings, lookup) as direct,
    ):
        return examine(request_of(settings, ref, compared, lookup), sites, sources, cache, direct)


def request_of(
    settings: Settings, ref: Ref | None, compared: Sequence[NameServer], lookup: Lookup | None
) -> DoctorRequest:
    """The request to examine `ref`, with resolvers to compare with those in use."""
    now = time.time()
    return DoctorRequest(
        ref=ref,
        connections=settings.connections_per_mirror,
        budget=limits_of(settings).per_source,
        max_speed=limit_at(settings.max_speed, now),
        is_offline=settings.offline,
        resolvers=settings.dns_resolvers,
        compared=tuple(compared),
        lookup=lookup,
        known_mirrors=default_mirrors(),
        roomy=tuple(Path(name) for name in (places.home(), "/data", "/mnt", "/srv", "/var/tmp") if name),  # noqa: S108
        rpc=settings.rpc,
        runtimes=tuple(runtime_folders(lambda: known_state(settings))),
        endpoint=os.environ.get("HF_ENDPOINT") or None,
        slow=slowdowns(History(known_state(settings)).read(), now - _LATELY),
    )


def current(settings: Settings) -> Current:
    """The settings that may be tuned. A mirror that is not believed is none: written, it would be."""
    return Current(
        settings.connections_per_mirror,
        limits_of(settings).total(1 + len(settings.mirrors)),
        settings.jobs,
        settings.etag_timeout,
        settings.download_timeout,
        tuple(mirror for mirror in settings.mirrors if mirror.is_believed),
        settings.root,
    )
