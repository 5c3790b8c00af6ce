"""Models whose files a folder may hold: that the user named, that names in the folder say, or that are known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.cache.records import Records
from orchestrator.catalogs.sites import Sites
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref, RepoId
from orchestrator.errors import NotAllowedError, NotFoundError, ProtocolError, TrustError, UnsafeError
from orchestrator.events import Emit, Notice
from orchestrator.lists.request import Item, PullRequest
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import resolve

_OF_ONE = (NotAllowedError, NotFoundError, ProtocolError, TrustError, UnsafeError)
"""Errors of one repo: another one may be there. When no server answers, none does for any of them."""


@dataclass(frozen=True, slots=True)
class Listings:
    """Listings, each once: those that were asked for now, and those of earlier runs."""

    asked: tuple[ResolvedModel, ...]
    remembered: tuple[ResolvedModel, ...] = ()

    @property
    def models(self) -> list[ResolvedModel]:
        """All of them; of a repo the ones that were asked for now come first."""
        return [*self.asked, *self.remembered]


def listings_for(pull: PullRequest, claims: Iterable[Ref], sites: Sites, records: Records, emit: Emit) -> Listings:
    """The listings of the models that the user named; if none, of the claimed ones, and all that are known here.

    A claimed repo that the sites do not know, or do not show, is told as a Notice. Raises NotFoundError when no listing
    is known, and what resolving raises: for a claim, only what would be raised for any other, too.
    """
    if pull.items:
        return Listings(tuple(resolve(Question(item, pull, sites, records, emit)) for item in pull.items))
    asked: dict[tuple[RepoId, str], ResolvedModel] = {}
    for ref in claims:
        try:
            model = resolve(Question(Item(ref), pull, sites, records, emit))
        except _OF_ONE as error:
            emit(Notice("unknown-repo", f"the folder has files of {ref.repo.url_path}, it says: {error.message}"))
        else:
            asked.setdefault((ref.repo, model.commit), model)
    remembered = tuple(model for model in _remembered(records) if (model.ref.repo, model.commit) not in asked)
    if not asked and not remembered:
        raise NotFoundError(
            "no model was ever listed for this cache, so these files are unknown",
            hint="name the model: glm-aria cache import DIR --model org/name",
        )
    return Listings(tuple(asked.values()), remembered)


def _remembered(records: Records) -> list[ResolvedModel]:
    models = []
    for repo, commit in records.commits():
        record = records.load(repo, commit)
        if record is not None:
            names = records.revisions(repo, commit)
            # The records do not tell the catalog; it only matters for what is asked, and here nobody is.
            ref = Ref(repo, commit if record.pinned or not names else names[0])
            models.append(ResolvedModel(ref, record.tree, record.tree, record.trust, record.is_restricted))
    return models
