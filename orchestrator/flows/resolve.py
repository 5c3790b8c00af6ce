"""From a ref to one commit and its listing: asked once, before the first byte, of the root alone."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.core.files import RepoTree
from orchestrator.core.plan import ResolvedModel, Trust, refuse_pickles
from orchestrator.errors import NotFoundError, SourcesDownError, TemporaryError
from orchestrator.events import Emit, ModelPhase, Notice, Phase
from orchestrator.flows.request import Item
from orchestrator.flows.tools import Tools
from orchestrator.store.records import Record


def resolve(
    item: Item,
    tools: Tools,
    emit: Emit,
    *,
    offline: bool,
    safe_only: bool,
    on_unknown: Callable[[], None],
) -> ResolvedModel:
    """Tie the item's ref to a commit and list it.

    One request when the commit was listed before, else one more for each page of the listing; `on_unknown` is called
    in between. Offline: what the root said when it was last asked. Raises NotFoundError (also when the globs choose
    nothing), UnsafeError for a listing or a policy that forbids it, and what the catalog raises.
    """
    emit(ModelPhase(str(item.ref), Phase.RESOLVING))
    commit, record = _from_records(item, tools) if offline else _from_catalog(item, tools, emit, on_unknown)
    wanted = record.tree.select(item.include, item.exclude)
    if not wanted.files and record.tree.files:
        raise NotFoundError(
            f"no file of {item.ref} is wanted: --include and --exclude leave nothing of {len(record.tree.files)} files",
            hint=f"see its files with: glm-aria plan {item.ref}",
        )
    model = ResolvedModel(item.ref, RepoTree(commit, record.tree.files), wanted, record.trust, record.is_restricted)
    if safe_only:
        refuse_pickles(model)
    return model


def _from_catalog(item: Item, tools: Tools, emit: Emit, on_unknown: Callable[[], None]) -> tuple[str, Record]:
    ref, catalog = item.ref, tools.catalogs[item.ref.catalog]
    try:
        revision = catalog.revision(ref)
    except (SourcesDownError, TemporaryError) as error:
        other = next((s for s in tools.sources if s.kind is catalog.source.kind and s != catalog.source), None)
        if other:
            error.hint = f"{error.hint}; or take the listing from a mirror, if you trust it: --root {other.url}"
        raise
    if revision.name_now != ref.repo.name:
        emit(Notice("renamed", f"{ref.repo.name} is now called {revision.name_now}; it is kept under the old name"))
    trust = Trust("root" if catalog.source.is_root else "single", catalog.source.url)
    known = tools.records.load(ref.repo, revision.commit)
    # A listing from somewhere else is not taken for what this catalog says.
    if known is None or known.trust != trust:
        on_unknown()
        known = Record(catalog.tree(ref.repo, revision.commit), trust, revision.is_restricted)
    return revision.commit, Record(known.tree, trust, revision.is_restricted)


def _from_records(item: Item, tools: Tools) -> tuple[str, Record]:
    ref = item.ref
    commit = ref.revision if ref.is_commit else tools.records.last_seen(ref.repo, ref.revision)
    record = tools.records.load(ref.repo, commit) if commit else None
    if commit is None or record is None:
        raise NotFoundError(
            f"{ref} was never pulled into this cache, and --offline asks nobody",
            hint=f"once, with a network: glm-aria pull {ref}",
        )
    return commit, record


def remember(model: ResolvedModel, tools: Tools) -> None:
    """Keep what the catalog said, for the next run and for `--offline`."""
    tools.records.save(model.ref.repo, Record(model.tree, model.trust, model.is_restricted))
    if not model.ref.is_commit:
        tools.records.saw(model.ref.repo, model.ref.revision, model.commit)
