"""Uploads of versions through the facade: a chunk goes on to the registry below once the whole of it is here.

docker-registry drops an upload of which a chunk broke, and a line to a publisher breaks more often than that to the
registry. So who was killed, or lost the line, sends one chunk again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.core.registries import Repository
from orchestrator.errors import ConflictError, IntegrityError
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client
from orchestrator.oci.registries import Registries
from orchestrator.oci.uploads import RepositoryUploads
from orchestrator.registry.names import upload_repository

MOST_CHUNK = 8 << 20
"""Bytes of a chunk at most: each is kept in memory."""


class UploadState(NamedTuple):
    """A blob in the repository for uploads: whether it is there, and else the bytes of it that are."""

    is_there: bool
    done: int


class VersionUploads:
    """Uploads to the repositories of publishers in one registry. Thread-safe; raises what `Client` does."""

    def __init__(self, registries: Registries, address: str, begun: BegunUploads) -> None:
        self._registries = registries
        self._address = address
        self._begun = begun
        self._gate = threading.Lock()
        self._under_way: set[tuple[str, Digest]] = set()

    def state(self, who: str, model: RepoId, digest: Digest) -> UploadState:
        """The state of a blob. One that the model has in another version is there, too. Nothing is changed."""
        uploads = self._uploads(who, model)
        if uploads.has(digest) or self._client(model.name).blob_size(digest) is not None:
            return UploadState(True, 0)
        upload = uploads.resumed(digest)
        return UploadState(False, upload.done if upload else 0)

    def send(self, who: str, model: RepoId, digest: Digest, start: int, chunk: bytes) -> int:
        """Take the bytes from `start` on; returns how many are there then.

        Raises ConflictError when others are there, or come at the same time: `details` has their number.
        """
        with self._alone(upload_repository(who, model), digest):
            uploads = self._uploads(who, model)
            upload = uploads.open(digest)
            if upload.done != start:
                raise ConflictError(f"{upload.done} bytes of {digest} are there", details=(str(upload.done),))
            return uploads.send(digest, upload, chunk).done

    def end(self, who: str, model: RepoId, digest: Digest, data: bytes = b"") -> None:
        """End an upload: the registry proves that what it has is the blob. Raises ConflictError when it is not.

        `data` is the whole of a blob of which nothing was sent before.
        """
        with self._alone(upload_repository(who, model), digest):
            uploads = self._uploads(who, model)
            if uploads.has(digest):
                return
            try:
                if data:
                    uploads.put(digest, data)
                else:
                    uploads.finish(digest, uploads.open(digest))
            except IntegrityError as error:  # the registry has dropped it
                raise ConflictError(f"what was sent are not the bytes of {digest}", hint="send them again") from error

    @contextmanager
    def _alone(self, repository: str, digest: Digest) -> Iterator[None]:
        key = (repository, digest)
        with self._gate:
            if key in self._under_way:
                raise ConflictError(f"another push sends {digest} at the same time", hint="wait until it has ended")
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._gate:
                self._under_way.discard(key)

    def _uploads(self, who: str, model: RepoId) -> RepositoryUploads:
        return RepositoryUploads(self._client(upload_repository(who, model)), self._begun)

    def _client(self, name: str) -> Client:
        return Client(self._registries, Repository(self._address, name))
