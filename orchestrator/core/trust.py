"""Trust in a listing: policies, levels, agreement of catalogs, and rollbacks.

Rules only. `resolve/policies.py` has who is asked, in which order; docs/decisions/0022 and 0023 have the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import permutations
from typing import Protocol

from orchestrator.core.addresses import is_this_machine
from orchestrator.core.dialects import Dialect
from orchestrator.core.files import RepoFile, RepoTree
from orchestrator.core.sources import Source


class Policy(StrEnum):
    """Policies of the user, from the weakest to the strictest."""

    ANY = "any"  # without the root, one mirror's word
    AGREE = "agree"  # without the root, two independent catalogs that say the same
    ROOT = "root"  # the root or nothing
    COMMIT = "commit"  # anybody's word that the commit itself proves

    def is_weaker_than(self, other: Policy) -> bool:
        """True when this policy accepts what `other` refuses."""
        order = list(Policy)
        return order.index(self) < order.index(other)


class Level(StrEnum):
    """Trust levels of a listing, from the weakest; `level` of the JSON."""

    SINGLE = "single"
    AGREE = "agree"
    ROOT = "root"
    LOCK = "lock"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Trust:
    """The level that a listing reached, and by whom.

    `source` is the address that the listing came from, `confirmed_by` the addresses of those who vouch for it besides:
    the catalogs that agree, or the site that sent the commit's git objects.
    """

    level: str
    source: str
    confirmed_by: tuple[str, ...] = field(default=())

    def outranks(self, other: Trust) -> bool:
        """True when this says more about a commit's listing than `other` does."""
        order = list(Level)
        return order.index(Level(self.level)) > order.index(Level(other.level))

    def satisfies(self, policy: Policy, kind: Dialect) -> bool:
        """True when what was recorded at this level may be used under `policy` without asking anybody.

        Where each site has commits of its own (ModelScope), a ref names its only catalog, so its level is `single` at
        best; naming it is the user's consent.
        """
        accepted = {
            Policy.ANY: set(Level),
            Policy.AGREE: set(Level) - ({Level.SINGLE} if kind.has_git_commits else set()),
            Policy.ROOT: {Level.ROOT, Level.LOCK},
            Policy.COMMIT: {Level.COMMIT},
        }
        return self.level in accepted[policy]


class Signatory(Protocol):
    """A public key whose holder must have signed a model.

    `name` is what the user calls it, `hint` the name of the key in signatures.
    """

    @property
    def name(self) -> str: ...

    @property
    def hint(self) -> str: ...

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """True when the signature is one of the message by this key."""


# -- agreement


@dataclass(frozen=True, slots=True)
class Voice:
    """One catalog's answer on a ref. A Hub and its mirrors know the same commits, other kinds have their own."""

    source: Source
    tree: RepoTree


@dataclass(frozen=True, slots=True)
class Agreement:
    """`voice` is confirmed by `other`; or nobody is, and `reasons` say why not, one for each pair that was compared."""

    voice: Voice | None
    other: Voice | None
    reasons: tuple[str, ...] = ()


def are_independent(one: Source, other: Source) -> bool:
    """True when two sources are different hosts, so that it takes two to lie.

    On this machine a port counts as a host: behind each may be a tunnel to another site.
    """
    if is_this_machine(one.host) and is_this_machine(other.host):
        return one.netloc != other.netloc
    return one.host != other.host


def agreement(
    voices: Sequence[Voice], root: Source, select: Callable[[RepoTree], RepoTree] = RepoTree.select
) -> Agreement:
    """The first voice of the root's kind, in order of preference, that another independent voice confirms.

    `select` chooses the wanted files of a listing.

    A mirror confirms with the same commit and the same digest for every wanted file. A catalog of another kind
    (ModelScope) confirms with the same sha256 and size for every wanted file, whatever its commit: so it can speak for
    LFS files only, since a Hub tells git's hash of the others, which nobody can compare with a sha256. The root's own
    host confirms nothing here: it is asked for itself.
    """
    heard = [voice for voice in voices if are_independent(voice.source, root)]
    reasons: list[str] = []
    for voice, other in permutations(heard, 2):
        if voice.source.kind is not root.kind or not are_independent(voice.source, other.source):
            continue
        wanted = select(voice.tree).files
        reason = _difference(voice, other, wanted, select(other.tree).files)
        if reason is None:
            return Agreement(voice, other)
        reasons.append(reason)
    if not reasons:
        reasons = [_too_few(heard)]
    return Agreement(None, None, tuple(dict.fromkeys(reasons)))


def _too_few(heard: Sequence[Voice]) -> str:
    names = ", ".join(voice.source.name for voice in heard)
    return f"only {names} answered, and nobody independent of it" if names else "no mirror answered"


def _difference(voice: Voice, other: Voice, wanted: Iterable[RepoFile], others: Iterable[RepoFile]) -> str | None:
    """The reason why `other` does not confirm the wanted files of `voice`; None if it does."""
    pair = " and ".join(sorted((voice.source.name, other.source.name)))
    named = {file.path: file for file in others}
    alone: set[str] = set()
    if other.source.kind is voice.source.kind:
        if voice.tree.commit != other.tree.commit:
            return f"{pair} name different commits"
        alone = named.keys() - {file.path for file in wanted}
    for file in wanted:
        known = named.get(file.path)
        if known is None:
            alone.add(file.path)
        elif file.digest.algorithm is not known.digest.algorithm:
            return f"{pair} tell digests of {file.path!r} that cannot be compared"
        elif (file.digest, file.size) != (known.digest, known.size):
            return f"{pair} name different contents of {file.path!r}"
    return f"only one of {pair} lists {min(alone)!r}" if alone else None


# -- commits that went back


@dataclass(frozen=True, slots=True)
class Seen:
    """A commit that a revision stood for once. `modified` is unix seconds as the catalog told them, None if not."""

    commit: str
    modified: float | None = None


def rollback(seen: Sequence[Seen], now: Seen, *, by_root: bool) -> str | None:
    """The reason why `now` is older than the last commit seen; None if it is not. `seen` is in order, oldest first.

    A commit that was seen before the last one is older, from any site. A commit never seen is taken for newer from the
    root; from another site only if its date, where both are known, is not earlier.
    """
    if not seen or now.commit == seen[-1].commit:
        return None
    last = seen[-1]
    if any(past.commit == now.commit for past in seen):
        return f"{now.commit[:12]}, which was seen before {last.commit[:12]}"
    if not by_root and now.modified is not None and last.modified is not None and now.modified < last.modified:
        return f"{now.commit[:12]}, which is older than {last.commit[:12]} by its date"
    return None


def remembered(seen: Sequence[Seen], now: Seen) -> tuple[Seen, ...]:
    """The history after `now` was accepted. What lay behind an accepted way back may come again, as something new."""
    kept = list(seen)
    for index, past in enumerate(kept):
        if past.commit == now.commit:
            del kept[index:]
            break
    return (*kept, now)
