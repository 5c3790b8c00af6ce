"""The catalogs of a run: whom to ask what a repo holds, and who may hear of which repo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.catalogs.interface import Catalog, CommitObjects
from orchestrator.core.dialects import Dialect, dialects
from orchestrator.core.refs import Ref
from orchestrator.core.sources import Source, site_of
from orchestrator.errors import UsageError
from orchestrator.net.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Sites:
    """`roots` are asked first, one for each kind; `mirrors` follow, in the order of preference.

    `git` reads commits at any of them. `aliases` are names at a Hub -> names at a kind that has its own. `credentials`
    know which servers the user named for the token. `at` gives the catalog of a site that a ref names itself,
    `signatures` those that a registry has of what such a ref pins; it raises what `Catalog` does.
    """

    roots: Mapping[Dialect, Catalog]
    mirrors: tuple[Catalog, ...]
    git: CommitObjects
    aliases: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials = field(default_factory=Credentials)
    at: Callable[[Source], Catalog] | None = None
    signatures: Callable[[Ref], Iterable[bytes]] = lambda _: ()

    def of(self, ref: Ref) -> Catalog:
        """The root, or for `ms://` and the like the catalog that the ref names.

        Raises UsageError where the settings name no site of the kind, and none is used by default.
        """
        site = site_of(ref)
        if site is not None and self.at is not None:
            return self.at(site)
        if ref.catalog not in self.roots:
            how = ref.catalog.where or f"name one with --mirror {ref.catalog}+URL"
            raise UsageError(f"{ref}: no site of {ref.catalog.title} is known", hint=how)
        return self.roots[ref.catalog]

    @property
    def named(self) -> tuple[Catalog, ...]:
        """The root and the mirrors: those that settings name, without the usual sites of other kinds."""
        return (*(catalog for catalog in self.roots.values() if catalog.source.is_root), *self.mirrors)

    def others(self, kind: Dialect) -> tuple[Catalog, ...]:
        """The named catalogs of other kinds, which may hold the files of a repo under other names."""
        return tuple(catalog for catalog in self.named if catalog.source.kind is not kind)

    def is_about(self, ref: Ref, witness: str) -> bool:
        """False when the word of this `witness` on a repo of the ref's name is about another repo: of another kind of
        catalog, or at another site than the ref names."""
        site = site_of(ref)
        if site is not None:
            return witness == site.witness
        known = (*self.roots.values(), *self.mirrors)
        others = {catalog.source.url for catalog in known if catalog.source.kind is not ref.catalog}
        kind, plus, _ = witness.partition("+")
        return witness not in others and not (plus and any(one.name == kind for one in dialects()))

    def may_hear(self, source: Source, kind: Dialect, *, is_restricted: bool) -> bool:
        """True when `source` may be asked for a repo of the catalogs of `kind` that is, or is not, gated or private.

        The name, the commit and the files of a closed repo are told to nobody but the site that listed it. A mirror
        cannot help with a private repo, and for a gated one it would have to be given the token: naming a mirror in
        `token_hosts` is the way to ask it on purpose.
        """
        if not is_restricted:
            return True
        is_root = kind in self.roots and source == self.roots[kind].source
        return source.kind is kind and (is_root or self.credentials.names(source.url))
