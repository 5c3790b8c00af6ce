"""Uploads of blobs into one repository, each known by its digest, that another process can go on with."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.files import Digest
from orchestrator.oci.begun import BegunUploads
from orchestrator.oci.client import Client, Upload


class RepositoryUploads:
    """Uploads to the repository of a client. Thread-safe for different digests; raises what `Client` does.

    `donors` are names of repositories of the same registry that may have the blobs, too. `begun` remembers each upload.
    """

    def __init__(self, client: Client, begun: BegunUploads, donors: Sequence[str] = ()) -> None:
        self._client = client
        self._begun = begun
        self._donors = tuple(name for name in donors if name != client.repository.name)

    def has(self, digest: Digest) -> bool:
        """True when the repository has the blob."""
        return self._client.blob_size(digest) is not None

    def done(self, digest: Digest) -> int | None:
        """The bytes of a blob that an upload of ours has; None when the repository has the blob."""
        if self.has(digest):
            return None
        upload = self.resumed(digest)
        return upload.done if upload else 0

    def take_over(self, digest: Digest) -> str | None:
        """The name of the repository from which the blob was taken over; None where no other has it, and where an
        upload goes on."""
        if self._begun.of(self._client.repository, digest):
            return None
        for donor in self._donors:
            upload = self._client.mount(digest, donor)
            if upload is None:
                return donor
            self._note(digest, upload.url)
        return None

    def resumed(self, digest: Digest) -> Upload | None:
        """The upload that was begun before; None where there is none, or the registry has dropped it."""
        url = self._begun.of(self._client.repository, digest)
        return self._client.resume(url) if url else None

    def open(self, digest: Digest) -> Upload:
        """The upload that was begun before, or else a new one."""
        upload = self.resumed(digest)
        if upload is None:
            upload = self._client.begin()
            self._note(digest, upload.url)
        return upload

    def put(self, digest: Digest, data: bytes) -> None:
        """Send the whole of a blob in an upload of its own, of which nothing is left when that breaks."""
        self._client.finish(self._client.begin(), digest, data)
        self._note(digest, None)

    def send(self, digest: Digest, upload: Upload, chunk: bytes) -> Upload:
        """Send the bytes that follow on `upload.done`."""
        upload = self._client.send(upload, chunk)
        # Its address changes with each chunk: docker-registry signs how far it is, and takes no other address.
        self._note(digest, upload.url)
        return upload

    def finish(self, digest: Digest, upload: Upload) -> None:
        """End the upload: the registry proves that what it has is the blob."""
        self._client.finish(upload, digest)
        self._note(digest, None)

    def _note(self, digest: Digest, url: str | None) -> None:
        self._begun.note(self._client.repository, digest, url)
