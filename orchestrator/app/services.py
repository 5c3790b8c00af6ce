"""The calls of the commands: compose a flow from settings (`app/compose.py`), and call it with a request.

Each call has a cache, sources and a daemon of its own, which end with it. Signals stop it in good order, a second one
at once. A room is imported when it is called: a command loads no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.app.compose import known_state, mover_of, open_cache, state_of, sweep
from orchestrator.app.opening import OpenCall, moving, opened
from orchestrator.app.runs.recording import note_history, pull_noted
from orchestrator.cache.layout import CacheLayout
from orchestrator.core.files import Digest
from orchestrator.core.network.resolvers import NameServer
from orchestrator.core.plan import Plan
from orchestrator.core.refs import Ref, Target
from orchestrator.core.sources import Source
from orchestrator.events import Emit
from orchestrator.lists.request import PullRequest
from orchestrator.mirrors.stats import SourceStats, Stats
from orchestrator.pulling import pull as flow
from orchestrator.pulling.report import PullReport
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop, stoppable

if TYPE_CHECKING:
    from orchestrator.app.desired.service import DesiredServices
    from orchestrator.app.fleet.service import FleetServices
    from orchestrator.app.out_of_cache import LinkHow
    from orchestrator.app.predicting.service import PredictServices
    from orchestrator.app.registry.remote import RegistryServices
    from orchestrator.app.serving import Served, ServeRequest
    from orchestrator.catalogs.search.interface import Query
    from orchestrator.catalogs.search.search import Row
    from orchestrator.doctor.examine import Diagnosis
    from orchestrator.doctor.history import Past
    from orchestrator.doctor.survey import Survey
    from orchestrator.doctor.tuning import Change
    from orchestrator.exports.export import ExportReport, ExportRequest
    from orchestrator.folders.link import LinkReport
    from orchestrator.folders.take import ImportReport, ImportRequest
    from orchestrator.lists.request import Item
    from orchestrator.mirrors.probe import Bounds
    from orchestrator.notifications.ending import Ending
    from orchestrator.recipes.defaults import Known
    from orchestrator.runs.run_note import AskedRun
    from orchestrator.runs.store import RunStore
    from orchestrator.serve.access.tokens import TokenFile
    from orchestrator.shared.nodes import NodeUse
    from orchestrator.upkeep.collect import Collected
    from orchestrator.upkeep.contents import Contents
    from orchestrator.upkeep.garbage import Rules
    from orchestrator.upkeep.verify import VerifyReport, VerifyRequest
    from orchestrator.watch.on_change import Hook
    from orchestrator.watch.state import WatchState
    from orchestrator.watch.watch import Read, WatchReport, WatchRequest


class Watched(NamedTuple):
    """A list to watch: its path, its reader, a pull of some of its models, the hook of a flip."""

    path: Path
    read: Read
    to_request: Callable[[tuple[Item, ...]], PullRequest]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """The calls, with the settings of a run. Errors of a model are in the report that a call returns, not raised."""

    settings: Settings

    # -- models --------------------------------------------------------------------------------------------------------

    def pull(
        self,
        request: PullRequest,
        emit: Emit,
        *,
        hook: Hook | None = None,
        given: Stop | None = None,
        asked: AskedRun | None = None,
    ) -> PullReport:
        """Pull; the hook runs at each flip. With a `given` Stop no signal is taken. `asked` is noted, to be resumed."""
        with stoppable(given) as stop:
            return pull_noted(self.settings, asked, emit, lambda told: self._pull(request, stop, told, hook))

    def tell_end(self, ending: Ending, emit: Emit) -> None:
        """Tell those whom the settings name of the end of a pull."""
        from orchestrator.app.runs.notifications import tell

        tell(self.settings, ending, emit)

    @property
    def runs(self) -> RunStore:
        """The notes of pulls that go on, and of those that were stopped."""
        from orchestrator.runs.store import RunStore

        return RunStore(known_state(self.settings))

    def _pull(self, request: PullRequest, stop: Stop, emit: Emit, hook: Hook | None = None) -> PullReport:
        with self._open(stop, emit) as found:
            report = self._pull_with(request, found, stop, hook.watching(found.told, stop) if hook else found.told)
            sweep(found.cache.staging)
            note_history(self.settings, report)
            return report

    def _pull_with(self, request: PullRequest, found: OpenCall, stop: Stop, emit: Emit) -> PullReport:
        if self.settings.fleet_control is not None and not request.offline:
            from orchestrator.app.fleet.pulling import pull_in_fleet

            return pull_in_fleet(self.settings, request, found, stop, emit)
        with moving(self.settings, found.cache, stop, emit) as mover:
            return flow.pull(request, found.sites, found.sources, found.cache, mover, stop=stop, emit=emit)

    def plan(self, request: PullRequest, emit: Emit, *, given: Stop | None = None) -> flow.Planned:
        """Plan; writes nothing, not even folders. `given` as for `pull`."""
        with stoppable(given) as stop, self._open(stop, create=False) as (cache, _, sites, _):
            return flow.plan(request, sites, cache, stop=stop, emit=emit)

    def write_aria2_input(self, plan: Plan, path: Path) -> None:
        """Write an input file for plain `aria2c -i`."""
        from orchestrator.app.aria2_input import write_aria2_input

        write_aria2_input(self.settings, plan, path)

    def fetch_url(self, url: str, digest: Digest, folder: Path, emit: Emit, *, force: bool = False) -> PullReport:
        """Fetch a single file by its address."""
        from orchestrator.pulling.single import fetch_single

        state_of(self.settings)  # what arrives lies there until it is proven
        with stoppable() as stop, self._open(stop, emit) as (cache, sources, _, _):
            report = fetch_single(
                url,
                digest,
                folder,
                sources=sources,
                staging=cache.staging,
                mover=mover_of(self.settings),
                stop=stop,
                emit=emit,
                force=force,
                portable=self.settings.portable,
            )
            sweep(cache.staging)
            return report

    def watch(self, wanted: Watched, request: WatchRequest, emit: Emit) -> WatchReport:
        """Keep the cache equal to the list; each pull opens its own resources."""
        from orchestrator.app.watching import keep_watch

        wanted.read()  # report a wrong list before anything is written
        with stoppable() as stop:

            def pull(items: tuple[Item, ...], turn: Stop, tell: Emit) -> PullReport:
                return self._pull(wanted.to_request(items), turn, tell)

            heard = wanted.hook.watching(emit, stop) if wanted.hook else emit
            return keep_watch(self.settings, wanted.path, (wanted.read, pull), request, stop=stop, emit=heard)

    def serve(self, request: ServeRequest, emit: Emit) -> Served:
        """Serve the cache until a signal comes."""
        from orchestrator.app.serving import serve

        with stoppable() as stop:
            return serve(self.settings, request, stop, emit)

    @property
    def desired(self) -> DesiredServices:
        """The calls for desired states."""
        from orchestrator.app.desired.service import DesiredServices

        return DesiredServices(self.settings)

    @property
    def fleet(self) -> FleetServices:
        """The calls to a fleet."""
        from orchestrator.app.fleet.service import FleetServices

        return FleetServices(self.settings)

    @property
    def predicting(self) -> PredictServices:
        """The calls for forecasts of demand."""
        from orchestrator.app.predicting.service import PredictServices

        return PredictServices(self.settings)

    @property
    def registry(self) -> RegistryServices:
        """The calls to a registry."""
        from orchestrator.app.registry.remote import RegistryServices

        return RegistryServices(self.settings)

    def tokens(self, *, create: bool) -> TokenFile:
        """The tokens of servers of this cache; with `create` there will be a place for them."""
        from orchestrator.serve.access.tokens import TokenFile

        return TokenFile(state_of(self.settings) if create else known_state(self.settings))

    def run(self, words: Sequence[str], emit: Emit) -> int:
        """Run a command of the user's behind a server of its own; its exit code."""
        from orchestrator.app.serving import run

        return run(self.settings, words, emit)

    def watched(self, path: Path | None) -> tuple[WatchState, ...]:
        """The state of the watch of a list, or without a path of all in this cache; writes nothing."""
        from orchestrator.watch.state import WatchFile, watched

        state = known_state(self.settings)
        return watched(state) if path is None else (WatchFile(state, path).load(),)

    # -- the cache at rest, and folders --------------------------------------------------------------------------------

    def verify(self, request: VerifyRequest, emit: Emit, *, repair: bool) -> VerifyReport:
        """Read the cache again, and on demand repair it."""
        from orchestrator.upkeep.verify import verify

        is_there = self.settings.cache_dir.exists()
        with stoppable() as stop:
            if not repair or not is_there:
                with open_cache(self.settings, create=is_there) as cache:
                    return verify(request, cache, None, stop=stop, emit=emit)
            from orchestrator.upkeep.mend import mend

            with self._open(stop, emit) as (cache, sources, sites, _):
                mover = mover_of(self.settings)
                mending = partial(mend, sites=sites, sources=sources, cache=cache, mover=mover, stop=stop, emit=emit)
                return verify(request, cache, mending, stop=stop, emit=emit)

    def collect(self, rules: Rules, *, act: bool) -> Collected:
        """Choose what goes from the cache, and with `act` remove it."""
        from orchestrator.upkeep.collect import collect

        with stoppable(), open_cache(self.settings, create=act and self.settings.cache_dir.exists()) as cache:
            return collect(rules, cache, act=act)

    def look(self) -> Contents:
        """The contents of the cache; writes nothing."""
        from orchestrator.upkeep.contents import contents

        with stoppable(), open_cache(self.settings, create=False) as cache:
            return contents(cache)

    def node_uses(self) -> tuple[NodeUse, ...]:
        """Models that nodes of a shared cache use. Raises UsageError without a Redis, TemporaryError if it is down."""
        from orchestrator.app.opening import uses_of_nodes

        return uses_of_nodes(self.settings)

    def pin(self, targets: Sequence[Target], *, keep: bool) -> dict[str, frozenset[Target]]:
        """Pin, or let go of, models; returns all that are pinned then, by user: "" is this one."""
        from orchestrator.cache.retention.pins import Pins

        pins = Pins(CacheLayout.at(self.settings.cache_dir), known_state(self.settings, create=True))
        if keep:
            pins.add(targets)
        else:
            pins.remove(targets)
        return {"": pins.own(), **pins.of_others()}

    def link(self, target: Target, folder: Path | None, layout: str, how: LinkHow) -> LinkReport:
        """Put a model of the cache into a folder, without one that of the layout's program."""
        from orchestrator.app.out_of_cache import link

        return link(self.settings, target, folder, layout, how)

    def export(self, request: ExportRequest) -> ExportReport:
        """Describe a model in the cache for programs of others."""
        from orchestrator.app.out_of_cache import export

        return export(self.settings, request)

    def take(self, request: ImportRequest, emit: Emit) -> ImportReport:
        """Take files of a folder into the cache; a dry run writes nothing."""
        from orchestrator.folders.take import take

        with stoppable() as stop, self._open(stop, create=not request.dry_run) as (cache, _, sites, _):
            report = take(request, sites, cache, stop=stop, emit=emit)
            if not request.dry_run:
                sweep(cache.staging)
            return report

    def search(self, query: Query, emit: Emit, *, measure: bool) -> tuple[Row, ...]:
        """Search for models at the sites; with `measure` sizes are exact where a site tells them."""
        from orchestrator.app.sites.searching import search

        return search(self.settings, query, emit, measure=measure)

    # -- sources -------------------------------------------------------------------------------------------------------

    def probe(self, ref: Ref | None, bounds: Bounds) -> Survey:
        """Probe the root and the mirrors, with a file of `ref` where there is one; what was measured is remembered."""
        from orchestrator.doctor.survey import survey

        with stoppable() as stop, self._open(stop, hasty=True) as (cache, sources, sites, _):
            return survey(ref, sites, sources, cache.records, bounds)

    def examine(self, ref: Ref | None, compared: Sequence[NameServer]) -> Diagnosis:
        """Measure everything that may make a download slow; what was measured of sources is remembered."""
        from orchestrator.app.sites.examination import examined

        with stoppable() as stop:
            return examined(self.settings, ref, compared, stop)

    def tuning(self) -> tuple[Change, ...]:
        """Changes of the settings that earlier measurements suggest. Asks no server."""
        from orchestrator.app.sites.examination import current
        from orchestrator.doctor.tuning import suggest

        return suggest(current(self.settings), self._stats.read(), self.past_pulls())

    def known_mirrors(self) -> tuple[tuple[Source, ...], Stats]:
        """The root and the mirrors, and what is remembered. Asks nobody, writes nothing."""
        return (self.settings.root, *self.settings.mirrors), self._stats.read()

    def known_to_recipes(self) -> Known:
        """The root, and the sources in their order, with what is remembered of them. Asks nobody."""
        from orchestrator.recipes.defaults import Known

        return Known.of(self.settings.root, *self.known_mirrors())

    def forgive_mirror(self, name: str) -> tuple[str, ...]:
        """Release a source from quarantine; the addresses that had this name or were this one."""
        return self._stats.forgive(name)

    def past_pulls(self) -> tuple[Past, ...]:
        """The pulls that are remembered, the oldest first. Writes nothing."""
        from orchestrator.doctor.history import History

        return History(known_state(self.settings)).read()

    @property
    def _stats(self) -> SourceStats:
        return SourceStats(known_state(self.settings))

    def _open(self, stop: Stop, emit: Emit | None = None, **how: bool) -> AbstractContextManager[OpenCall]:
        return opened(self.settings, stop, emit, **how)
