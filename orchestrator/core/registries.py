"""Names in OCI registries, as the distribution specification (1.1) spells them.

    [oci://|oci+http://]host[:port]/[more/]name[:tag|@sha256:digest]

A registry is asked over https, and one on this machine over http, as other clients do it; `oci+http://` and
`oci+https://` say otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.addresses import is_this_machine, parse_place
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import UsageError

SCHEME = "oci"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_LONGEST_NAME = 255
_EXAMPLE = "for example oci://registry.example/team/model:1.2.3"


@dataclass(frozen=True, slots=True)
class Site:
    """A registry, `https://host:port`, and the leading path of names in it: empty, or `/more`."""

    registry: str
    prefix: str = ""

    @property
    def url(self) -> str:
        """The address below which the registry's API has its repositories."""
        return f"{self.registry}/v2{self.prefix}"

    def repository(self, name: str) -> Repository:
        """The repository of this name below the leading path."""
        return Repository(self.registry, f"{self.prefix}/{name}".lstrip("/"))

    @classmethod
    def at(cls, url: str) -> Site:
        """The site with this `url`."""
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        return cls(f"{scheme}://{host}", f"/{path}".removeprefix("/v2"))

    def __str__(self) -> str:
        return f"{scheme_of(self.registry)}://{self.registry.partition('://')[2]}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a registry: the registry's address, `https://host:port`, and the name there."""

    registry: str
    name: str

    def __post_init__(self) -> None:
        if not is_repository_name(self.name):
            raise UsageError(
                f"{self.name!r} is not the name of a repository of a registry",
                hint="lower-case letters, digits and . _ - in parts that are separated by /",
            )

    @property
    def url(self) -> str:
        """The address of the repository in the registry's API."""
        return f"{self.registry}/v2/{self.name}"

    @property
    def place(self) -> str:
        """`host[:port]` of the registry."""
        return self.registry.partition("://")[2]

    def __str__(self) -> str:
        return f"{scheme_of(self.registry)}://{self.place}/{self.name}"


def is_repository_name(text: str) -> bool:
    """True for what the specification calls a `<name>`."""
    return len(text) <= _LONGEST_NAME and bool(_NAME.fullmatch(text))


def namespace_of(name: str) -> str:
    """The namespace of a model's name in lower case, without what a registry has before it; empty for none."""
    return name.lower().rpartition("/")[0].rpartition("/")[2]


def is_tag(text: str) -> bool:
    """True for what the specification takes for a tag."""
    return bool(_TAG.fullmatch(text))


def is_sha256(text: str) -> bool:
    """True for `sha256:` and 64 hexadecimal digits in lower case."""
    return bool(re.fullmatch("sha256:[0-9a-f]{64}", text))


def commit_of(digest: Digest) -> str:
    """The 40 digits by which the cache knows a manifest: the first of its sha256."""
    if digest.algorithm is not Algorithm.SHA256:
        raise UsageError(f"{digest} is not the digest of a manifest")
    return digest.hex[:40]


def scheme_of(registry: str) -> str:
    """The scheme of refs to a registry at this address: `oci`, or the one that says how it is asked."""
    asked, _, place = registry.partition("://")
    return SCHEME if asked == _usual(place) else f"{SCHEME}+{asked}"


def address_of(place: str) -> str:
    """The address of a registry at `host[:port]`."""
    return f"{_usual(place)}://{place}"


def parse_repository(scheme: str, text: str) -> tuple[Repository, str | None]:
    """Take `host[:port]/name[:tag|@digest]` apart; the second is the tag or the digest. Raises UsageError."""
    place, slash, rest = text.partition("/")
    rest, at, digest = rest.partition("@")
    name, colon, tag = rest.partition(":")
    if not slash or not name or (at and colon):
        what = "names a tag and a digest" if at and colon else "names no repository of a registry"
        raise UsageError(f"{scheme}://{text}: {what}", hint="give one of them" if at and colon else _EXAMPLE)
    try:
        known = str(parse_place(place)).lower()
    except ValueError as error:
        raise UsageError(f"{scheme}://{text}: {place!r} {error}", hint=_EXAMPLE) from error
    asked = scheme.partition("+")[2] or _usual(known)
    return Repository(f"{asked}://{known}", name.strip("/")), (digest if at else tag if colon else None)


def _usual(place: str) -> str:
    """The scheme by which a registry at `host[:port]` is asked if nobody says."""
    return "http" if is_this_machine(parse_place(place).host) else "https"
