"""From a ref to one commit and its listing: asked once, before the first byte, of those whom the policy believes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from orchestrator.cache.records import Record, Records
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import RepoTree
from orchestrator.core.plan import ResolvedModel, refuse_pickles
from orchestrator.core.refs import Ref, as_word, commit_hint
from orchestrator.core.trust import Level, Seen, Trust
from orchestrator.errors import CannotCreateError, NotCachedError, NotFoundError, TrustError
from orchestrator.events import ModelPhase, Phase
from orchestrator.resolve import policies
from orchestrator.resolve.locked import from_lock
from orchestrator.resolve.missing import refuse_missing
from orchestrator.resolve.naming import tell_oddities
from orchestrator.resolve.question import Listing, Question
from orchestrator.resolve.signed import refuse_unsigned


def ask(question: Question) -> ResolvedModel | Callable[[], ResolvedModel]:
    """Tie the item's ref to a commit and list it, as far as `request.policy` demands a proof.

    One request when the commit was listed before: then this is the model. Else it is the call that asks for the
    listing, one request more for each page; a caller may do something meanwhile. Offline: what was recorded when
    somebody was last asked. Both raise NotFoundError (also when the globs choose nothing), UnsafeError for a listing or
    a policy that forbids it, TrustError when nobody can be believed or the commit went back, and what catalogs raise.
    """
    item = question.item
    question.emit(ModelPhase(str(item.ref), Phase.RESOLVING))
    if item.locked:
        return _checked(question, from_lock(question, item.locked))
    answer = _from_records(question) if question.request.offline else policies.ask(question)
    if isinstance(answer, Listing):
        return _checked(question, _model(question, answer))
    return lambda: _checked(question, _model(question, answer()))


def resolve(question: Question) -> ResolvedModel:
    """`ask`, and list what was not listed before."""
    asked = ask(question)
    return asked if isinstance(asked, ResolvedModel) else asked()


def _checked(question: Question, model: ResolvedModel) -> ResolvedModel:
    if question.request.safe_only:
        refuse_pickles(model)
    if question.request.signatory:
        refuse_unsigned(question, model, question.request.signatory)
        model = replace(model, signed_by=question.request.signatory.name)
    tell_oddities(model, question.emit, portable=question.request.portable)
    return model


def _model(question: Question, listing: Listing) -> ResolvedModel:
    item, record = question.item, listing.record
    refuse_missing(item, record.tree)
    wanted = item.select(record.tree)
    if not wanted.files and record.tree.files and not question.request.may_be_none:
        raise NotFoundError(
            f"no file of {item.ref} is wanted: your selection matches none of its {len(record.tree.files)} files",
            hint=f"see its files with: glm-aria plan {as_word(item.ref)}",
        )
    tree = RepoTree(listing.commit, record.tree.files, record.tree.left_out)
    name_now = listing.name_now if listing.name_now != item.ref.repo.name else None
    return ResolvedModel(
        item.ref,
        tree,
        wanted,
        record.trust,
        record.is_restricted,
        listing.modified,
        name_now=name_now,
        pinned=record.pinned,
        twin=listing.twin,
        version=record.version,
    )


def _from_records(question: Question) -> Listing:
    ref, records, policy = question.ref, question.records, question.request.policy
    # One name may be two repos in two kinds of catalogs, and their records lie side by side.
    is_about = partial(question.sites.is_about, ref)
    commit = ref.commit or records.last_seen(ref.repo, ref.revision, is_about)
    record = records.load(ref.repo, commit) if commit else None
    if record and not _answers(record, ref, is_about):
        record = None
    if commit is None or record is None:
        raise never_seen(ref)
    if not record.trust.satisfies(policy, ref.catalog):
        raise TrustError(
            f"{ref} was listed with the trust level {record.trust.level!r} (by {record.trust.source}), which is not "
            f"enough for --trust {policy.value}, and --offline asks no server",
            hint="run it without --offline, or accept it with --trust any",
        )
    return Listing(commit, record)


def _answers(record: Record, ref: Ref, is_about: Callable[[str], bool]) -> bool:
    """False for the record of a repo that only has the name of the ref's."""
    if record.pinned is not None:
        # The same digest of a manifest is the same listing, at each registry and under each name.
        return ref.catalog.names_site or ref.catalog.has_no_files
    is_of_kind = not ref.catalog.has_no_files and is_about(record.trust.source)
    return is_of_kind and record.tree.has_plain(ref.catalog.plain_digest)


def never_seen(ref: Ref) -> NotCachedError:
    """The error about a ref that nobody asked for before, where no server may be asked."""
    return NotCachedError(
        f"{ref} was never pulled into this cache, and --offline asks no server",
        hint=commit_hint(ref.revision) or f"run it once with a network: glm-aria pull {as_word(ref)}",
    )


def remember(model: ResolvedModel, records: Records, sites: Sites, *, is_new: bool = False) -> None:
    """Keep what was said, for the next run and for `--offline`; a stronger word about the same commit is kept.

    The history of commits is kept by the address of the site that is asked first for such refs. Raises
    CannotCreateError where files of the model are new: in a cache that may only be read, nothing can be remembered.
    """
    try:
        _keep(model, records, sites)
    except CannotCreateError:
        if is_new:
            raise


def _keep(model: ResolvedModel, records: Records, sites: Sites) -> None:
    ref, trust = model.ref, model.trust
    if trust.level == Level.LOCK:
        # A lock file says what a commit is, not what a branch stands for; and only the run that named it trusts it.
        return
    if trust.level == Level.AGREE and len(model.wanted.files) < len(model.tree.files):
        # The catalogs agreed about the wanted files. What is recorded is about all of them.
        trust = Trust(Level.SINGLE, trust.source)
    known = records.load(ref.repo, model.commit)
    if known and known.tree == model.tree and known.trust.outranks(trust):
        trust = known.trust
    record = Record(model.tree, trust, model.is_restricted, model.pinned, model.version)
    if record != known:
        records.save(ref.repo, record)
    # A commit that is the last one seen already may come from the records themselves, offline.
    is_about = partial(sites.is_about, ref)
    if not ref.is_commit and records.last_seen(ref.repo, ref.revision, is_about) != model.commit:
        records.saw(ref.repo, ref.revision, Seen(model.commit, model.modified), sites.of(ref).source.witness)
