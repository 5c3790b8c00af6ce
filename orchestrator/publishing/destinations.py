"""Destinations of a push: a tag of a registry, or a version in a registry of models, which alone writes its tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository, parse_repository
from orchestrator.errors import ConflictError, GlmAriaError, NotAllowedError, NotFoundError, ProtocolError
from orchestrator.net import shapes
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.login import command
from orchestrator.registry.versions import Version


class Destination(Protocol):
    """The place that a model is pushed to. Every method raises what `Client` does."""

    @property
    def name(self) -> str:
        """The name of the model, for people and for its manifest."""

    @property
    def version(self) -> str:
        """The version or the tag."""

    @property
    def client(self) -> Client:
        """The repository to which blobs and the manifest are uploaded."""

    @property
    def donors(self) -> tuple[str, ...]:
        """Names of repositories of the same registry that may have some of the blobs."""

    def present(self) -> str | None:
        """The digest that the version has now."""

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:
        """Make the uploaded manifest the version. Raises ConflictError when the version is another one already."""

    def alias(self, name: str) -> str | None:
        """The digest for which an alias stands now."""

    def move(self, name: str, digest: Digest, expected: str | None) -> None:
        """Have the alias stand for the version. Raises ConflictError when it is not as expected."""


class TagDestination:
    """A tag of a repository of any registry. A tag that reads as a version is never moved; others are."""

    def __init__(self, client: Client, tag: str, donors: tuple[str, ...] = ()) -> None:
        self.client = client
        self.version = tag
        self.donors = donors

    @property
    def name(self) -> str:
        """See `Destination.name`."""
        return self.client.repository.name

    def present(self) -> str | None:
        """See `Destination.present`."""
        found = self.client.head(self.version)
        return str(found) if found else None

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:
        """See `Destination.publish`."""
        present = self.present()
        if present not in (None, str(digest)) and Version.of_tag(self.version):
            raise taken(f"{self.client.repository}:{self.version}", str(present))
        if present != str(digest):
            self.client.put(self.version, body, media_type)

    def alias(self, name: str) -> str | None:
        """See `Destination.alias`."""
        found = self.client.head(name)
        return str(found) if found else None

    def move(self, name: str, digest: Digest, expected: str | None) -> None:
        """See `Destination.move`. A registry by itself compares nothing, so this is only nearly atomic."""
        if self.alias(name) != expected:
            raise moved(name, self.alias(name))
        fetched = self.client.manifest(str(digest))
        self.client.put(name, fetched.body, fetched.media_type)


class ModelDestination:
    """A version of a model of `glm-aria serve` with a registry, by its REST interface at `server`.

    `net` has the user's token for that server; `open_client` makes the client of the repository for uploads.
    """

    def __init__(
        self, server: str, name: str, version: str, net: Net, open_client: Callable[[Repository], Client]
    ) -> None:
        self.name = name
        self.version = version
        self._net = net
        self._url = f"{server}/registry/v1/{name}"
        self._site = server.partition("://")[2]
        told = self._get("uploads")
        repository = shapes.text(told, "repository", self._site, "the repository for uploads")
        asked, _, place = repository.partition("://")
        self.client = open_client(parse_repository(f"oci+{asked}", place)[0])

    @property
    def donors(self) -> tuple[str, ...]:
        """See `Destination.donors`. Former versions have most of the files."""
        return (self.name,)

    def present(self) -> str | None:
        """See `Destination.present`."""
        return self._digest_at(f"resolve?range={quote(self.version, safe='')}")

    def publish(self, digest: Digest, body: bytes, media_type: str) -> None:
        """See `Destination.publish`."""
        self.client.put(str(digest), body, media_type)
        self._put(f"versions/{quote(self.version, safe='')}", digest, {}, what=f"{self.name}@{self.version}")

    def alias(self, name: str) -> str | None:
        """See `Destination.alias`."""
        return self._digest_at(f"aliases/{quote(name, safe='')}")

    def move(self, name: str, digest: Digest, expected: str | None) -> None:
        """See `Destination.move`."""
        compared = {"If-Match": f'"{expected}"'} if expected else {"If-None-Match": "*"}
        self._put(f"aliases/{quote(name, safe='')}", digest, compared, what=name)

    def _digest_at(self, path: str) -> str | None:
        try:
            return shapes.text(self._get(path), "digest", self._site, "the version")
        except NotFoundError:
            return None

    def _get(self, path: str) -> dict[str, object]:
        with blaming(self._site):
            answer = self._net.exchange("GET", f"{self._url}/{path}")
            if answer.status != 200:
                raise self._refusal(answer, path)
            return shapes.mapping(answer.value, self._site, "the answer")

    def _put(self, path: str, digest: Digest, headers: Mapping[str, str], *, what: str) -> None:
        body = json.dumps({"digest": str(digest)}).encode()
        sent = {"Content-Type": "application/json", **headers}
        with blaming(self._site):
            answer = self._net.exchange("PUT", f"{self._url}/{path}", headers=sent, body=body)
            if answer.status not in (200, 201):
                raise self._refusal(answer, what)

    def _refusal(self, answer: Answer, what: str) -> GlmAriaError:
        said = self._said(answer)
        if answer.status in (401, 403):
            return NotAllowedError(
                f"{self._site} does not let you do that: {said}" if said else f"{self._site} asks for a login",
                hint=command(self._site),
                source=self._site,
            )
        if answer.status == 404:
            return NotFoundError(said or f"{self._site} has no {what} of {self.name}", source=self._site)
        if answer.status in (409, 412):
            return ConflictError(said or f"{what} is another one now", hint="look at it: glm-aria registry show")
        return ProtocolError(f"{self._site} answered HTTP {answer.status}: {said}", source=self._site)

    def _said(self, answer: Answer) -> str:
        try:
            found = json.loads(answer.body)
            return str(found["error"])[:300] if isinstance(found, dict) else ""
        except (ValueError, KeyError, RecursionError):
            return ""


def taken(name: str, present: str) -> ConflictError:
    """The error about a version that is there already, with other bytes."""
    return ConflictError(
        f"{name} is there already, and a version never changes",
        hint="push it as another version",
        details=(present,),
    )


def moved(alias: str, present: str | None) -> ConflictError:
    """The error about an alias that somebody else moved."""
    now = f"stands for {present[:19]} now" if present else "is gone now"
    return ConflictError(f"the alias {alias!r} was moved meanwhile: it {now}", details=(present or "",))
