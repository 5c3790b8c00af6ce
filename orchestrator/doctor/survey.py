"""`mirrors probe`: all sources at once, each with a few small requests and a bounded sample of one file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from orchestrator.cache.records import Records
from orchestrator.catalogs.interface import Catalog
from orchestrator.catalogs.matching import Match, repos_elsewhere
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import Algorithm, RepoFile, RepoTree
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Source, origin_at
from orchestrator.depot.other_catalogs import look
from orchestrator.doctor.facts import Freshness, SourceFacts
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, SourcesDownError, TemporaryError
from orchestrator.mirrors.probe import Bounds, Probe, SampleFile, probe
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import Observation
from orchestrator.net.session import Net
from orchestrator.system.threads import Step, at_once


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a survey. `reference` is the source to whose listing the others were compared: the root, unless it
    is down, or for a model of a registry that one. `total` are the bytes of the model."""

    rows: tuple[SourceFacts, ...]
    ref: Ref | None = None
    commit: str | None = None
    file: RepoFile | None = None
    reference: Source | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class _Model:
    """The model that sources are probed with; its files lie where the ref `at` says."""

    ref: Ref
    at: Ref
    tree: RepoTree
    reference: Source
    is_restricted: bool
    file: RepoFile | None = field(init=False)

    def __post_init__(self) -> None:
        # The largest file shows the most; one with a sha256 may be had from catalogs of any kind.
        files = sorted(self.tree.files, key=lambda file: (file.is_lfs, file.size), reverse=True)
        object.__setattr__(self, "file", files[0] if files else None)

    @property
    def large(self) -> tuple[RepoFile, ...]:
        return tuple(f for f in self.tree.files if f.is_lfs and f.digest.algorithm is Algorithm.SHA256 and f.size)


def survey(
    ref: Ref | None,
    sites: Sites,
    sources: Sources,
    records: Records,
    bounds: Bounds,
    *,
    patience: float = 8.0,
    must_answer: bool = True,
) -> Survey:
    """Probe the root and every mirror, with a file of `ref` where one is given, and remember what was measured. The
    registry that has it is probed, too, and is the only one that hears of a model of a registry.

    A source that has not answered `patience` seconds after the others began is reported as too slow. Raises what the
    catalogs say of `ref` when none can list it, and with `must_answer` SourcesDownError when no source answers at all.
    """
    model = _model(ref, probed_catalogs(ref, sites), sites, records) if ref else None
    catalogs = probed_catalogs(model.at if model else None, sites)
    steps = [Step(catalog.source.name, partial(_facts, catalog, model, sites, sources, bounds)) for catalog in catalogs]
    at_once(steps, patience, name="survey")
    rows = [
        step.result() if step.is_done else _late(catalog.source, patience)
        for step, catalog in zip(steps, catalogs, strict=True)
    ]
    samples = {row.source: row.probe.samples for row in rows}
    # On a full disk, or one that is not ours to write, what was measured is told all the same.
    with suppress(GlmAriaError):
        sources.stats.observe(samples)
    if must_answer and all(samples[row.source] == (Observation(failed=True),) for row in rows):
        raise SourcesDownError(
            f"no source answers: {rows[0].error or rows[0].name}",
            hint="check the network, the name and the proxy settings (glm-aria config show)",
        )
    stats = sources.stats.read()
    known = tuple(replace(row, quarantine=stats.quarantine_of(row.source)) for row in rows)
    if model is None:
        return Survey(known)
    total = sum({file.digest: file.size for file in model.tree.files}.values())
    return Survey(known, model.ref, model.tree.commit, model.file, model.reference, total)


def probed_catalogs(ref: Ref | None, sites: Sites) -> tuple[Catalog, ...]:
    """Those of the root and the mirrors, each once; of an `ms://` ref its own site, too."""
    roots = [catalog for catalog in sites.roots.values() if catalog.source.is_root]
    own = [sites.of(ref)] if ref else []
    return tuple({catalog.source: catalog for catalog in (*roots, *own, *sites.mirrors)}.values())


def _model(ref: Ref, catalogs: Sequence[Catalog], sites: Sites, records: Records) -> _Model:
    """The listing of the first catalog of the ref's kind that answers."""
    is_closed = records.is_restricted(ref)
    of_same = (catalog for catalog in catalogs if catalog.source.kind is ref.catalog)
    others = (c for c in of_same if sites.may_hear(c.source, ref.catalog, is_restricted=is_closed))
    of_kind = [sites.of(ref), *others]
    first: GlmAriaError | None = None
    for catalog in of_kind:
        try:
            revision = catalog.revision(ref)
            record = records.load(ref.repo, revision.commit)
            tree = record.tree if record else catalog.tree(ref.repo, revision.commit)
        except (SourcesDownError, TemporaryError) as error:
            first = first or error
        else:
            at = revision.pinned or ref
            reference = sites.of(at).source if revision.pinned else catalog.source
            return _Model(ref, at, tree, reference, revision.is_restricted)
    raise first or NotFoundError(f"no catalog lists {ref}")


def _late(source: Source, patience: float) -> SourceFacts:
    error = TemporaryError(f"{source.name} did not answer within {patience:.0f} s")
    return SourceFacts(source, Probe(source, error=error))


def _facts(catalog: Catalog, model: _Model | None, sites: Sites, sources: Sources, bounds: Bounds) -> SourceFacts:
    # On the hasty net even for the root; the token still goes only where it may.
    source, net = catalog.source, sources.hasty
    state, match, target = Freshness.UNKNOWN, None, None
    error: GlmAriaError | None = None
    proxy = _proxy_of(source, net)
    if model is not None:
        try:
            state, match, target = _compare(catalog, model, sites)
            net = sources.hasty_for(source, target.origin) if target else net
        except NotFoundError:
            state = Freshness.ABSENT
        except GlmAriaError as found:
            error = found
    if error is not None and isinstance(error, SourcesDownError | TemporaryError):
        return SourceFacts(source, Probe(source, error=error), proxy=proxy)
    result = probe(net, source, target, bounds, is_restricted=bool(model and model.is_restricted))
    held = len(match.origins) if match else None
    wanted = held + len(match.differences) if match and held is not None else None
    return SourceFacts(source, result, state, held, wanted, proxy=proxy)


def _proxy_of(source: Source, net: Net) -> str | None:
    try:
        return net.proxy_for(source.url)
    except ProtocolError:  # an address that cannot be asked has none
        return None


def _compare(catalog: Catalog, model: _Model, sites: Sites) -> tuple[Freshness, Match | None, SampleFile | None]:
    """The state of the model at the source, and the place of the file to sample."""
    source, ref, file = catalog.source, model.at, model.file
    if source == model.reference:
        return Freshness.FRESH if source == sites.of(ref).source else Freshness.UNKNOWN, None, _same(model)
    if ref.site is not None or not sites.may_hear(source, ref.catalog, is_restricted=model.is_restricted):
        return Freshness.UNKNOWN, None, None  # its name is nobody else's business
    if source.kind is ref.catalog:
        is_same = catalog.revision(ref).commit == model.tree.commit
        # A mirror that is behind may know the commit all the same: the sample will tell.
        return Freshness.FRESH if is_same else Freshness.STALE, None, _same(model)
    for repo in repos_elsewhere(ref.repo, ref.catalog, source.kind, sites.aliases):
        try:
            found = look(catalog, Ref(repo, source.kind.main, source.kind), model.large, source.name)
        except NotFoundError:
            continue
        if found is None:
            return Freshness.UNKNOWN, None, None
        state = Freshness.ABSENT if not found.origins else Freshness.STALE if found.differences else Freshness.FRESH
        return state, found, _found(found, model.large, file)
    return Freshness.ABSENT, None, None


def _same(model: _Model) -> SampleFile | None:
    if (file := model.file) is None:
        return None
    return SampleFile(origin_at(model.at, model.tree.commit, file), file.size, file.digest)


def _found(match: Match, files: Sequence[RepoFile], preferred: RepoFile | None) -> SampleFile | None:
    """The preferred file where it is held, else the largest that is."""
    origins = dict(match.origins)
    held = sorted((file for file in files if file.digest in origins), key=lambda f: (f == preferred, f.size))
    return SampleFile(origins[held[-1].digest], held[-1].size, held[-1].digest) if held else None
