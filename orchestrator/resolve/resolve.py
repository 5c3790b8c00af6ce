"""From a ref to one commit and its listing: asked once, before the first byte, of those whom the policy believes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace

from orchestrator.cache.records import Record
from orchestrator.core.files import RepoTree
from orchestrator.core.plan import ResolvedModel, refuse_pickles
from orchestrator.core.refs import as_word, commit_hint
from orchestrator.core.trust import Level, Seen, Trust
from orchestrator.errors import NotFoundError, TrustError
from orchestrator.events import Emit, ModelPhase, Phase
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pull.tools import Tools
from orchestrator.resolve.locked import from_lock
from orchestrator.resolve.naming import tell_oddities
from orchestrator.resolve.policies import answer
from orchestrator.resolve.question import Listing, Question, root_of


def resolve(
    item: Item, request: PullRequest, tools: Tools, emit: Emit, on_unknown: Callable[[], None]
) -> ResolvedModel:
    """Tie the item's ref to a commit and list it, as far as `request.policy` demands a proof.

    One request when the commit was listed before, else one more for each page of the listing; `on_unknown` is called
    in between. Offline: what was recorded when somebody was last asked. Raises NotFoundError (also when the globs
    choose nothing), UnsafeError for a listing or a policy that forbids it, TrustError when nobody can be believed or
    the commit went back, and what the catalog raises.
    """
    emit(ModelPhase(str(item.ref), Phase.RESOLVING))
    locked = item.locked
    model = from_lock(item, locked, request, tools, emit) if locked else _listed(item, request, tools, emit, on_unknown)
    if request.safe_only:
        refuse_pickles(model)
    tell_oddities(model, emit, portable=request.portable)
    return model


def _listed(
    item: Item, request: PullRequest, tools: Tools, emit: Emit, on_unknown: Callable[[], None]
) -> ResolvedModel:
    if request.offline:
        listing = _from_records(item, request, tools)
    else:
        listing = answer(Question(item, request, tools, emit, on_unknown))
    record = listing.record
    _refuse_missing(item, record.tree)
    wanted = record.tree.select(item.include, item.exclude)
    if not wanted.files and record.tree.files:
        raise NotFoundError(
            f"no file of {item.ref} is wanted: what you chose leaves nothing of its {len(record.tree.files)} files",
            hint=f"see its files with: glm-aria plan {as_word(item.ref)}",
        )
    tree = RepoTree(listing.commit, record.tree.files, record.tree.left_out)
    return ResolvedModel(item.ref, tree, wanted, record.trust, record.is_restricted, listing.modified)


def _refuse_missing(item: Item, tree: RepoTree) -> None:
    """Refuse a file that was asked for by name and is not there, as hf does."""
    paths = {file.path for file in tree.files}
    for path in item.files:
        if path not in paths:
            close = difflib.get_close_matches(path, paths, 1)
            # Last what is to be pasted: nothing may stand behind it.
            hint = f"did you mean {close[0]!r}?" if close else f"see its files with: glm-aria plan {as_word(item.ref)}"
            if "/" not in path:
                hint = f"a model of that name is written hf://{path}; {hint}"
            raise NotFoundError(f"{item.ref} holds no file {path!r}; nothing was fetched", hint=hint, file=path)


def _from_records(item: Item, request: PullRequest, tools: Tools) -> Listing:
    ref = item.ref
    commit = ref.revision if ref.is_commit else tools.records.last_seen(ref.repo, ref.revision)
    record = tools.records.load(ref.repo, commit) if commit else None
    if commit is None or record is None:
        raise NotFoundError(
            f"{ref} was never pulled into this cache, and --offline asks nobody",
            hint=commit_hint(ref.revision) or f"once, with a network: glm-aria pull {as_word(ref)}",
        )
    if not record.trust.satisfies(request.policy, ref.catalog):
        raise TrustError(
            f"{ref} was listed with the trust level {record.trust.level!r} (by {record.trust.source}), which is not "
            f"enough for --trust {request.policy.value}, and --offline asks nobody",
            hint="without --offline, or accept it with --trust any",
        )
    return Listing(commit, record)


def remember(model: ResolvedModel, tools: Tools) -> None:
    """Keep what was said, for the next run and for `--offline`; a stronger word about the same commit is kept."""
    repo, trust = model.ref.repo, model.trust
    if trust.level == Level.LOCK:
        # A lock file says what a commit is, not what a branch stands for; and only whoever asked for it believes it.
        return
    if trust.level == Level.AGREE and len(model.wanted.files) < len(model.tree.files):
        # The catalogs agreed about the wanted files. What is recorded is about all of them.
        trust = Trust(Level.SINGLE, trust.source)
    known = tools.records.load(repo, model.commit)
    if known and known.tree == model.tree and known.trust.outranks(trust):
        tools.records.save(repo, replace(known, is_restricted=model.is_restricted))
    else:
        tools.records.save(repo, Record(model.tree, trust, model.is_restricted))
    # A commit that is the last one seen already may come from the records themselves, offline.
    if not model.ref.is_commit and tools.records.last_seen(repo, model.ref.revision) != model.commit:
        tools.records.saw(repo, model.ref.revision, Seen(model.commit, model.modified), root_of(tools, model.ref))
