"""The distribution API of OCI registries (specification 1.1), as far as models need it: one repository."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote, urlencode

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository, is_sha256
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, SourcesDownError, TemporaryError, TrustError
from orchestrator.net import shapes
from orchestrator.net.addresses import next_hop, place, split
from orchestrator.net.answers import Answer
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.login import CATALOG, DELETE, PULL, PUSH, Scopes, scope
from orchestrator.oci.manifest import INDEXES, MANIFESTS, OCI_INDEX, Descriptor, Index, digest_of, parse
from orchestrator.oci.refusals import refusal
from orchestrator.oci.registries import Registries

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES)), "Accept-Encoding": "gzip, deflate"}
_PAGE = 1_000
_MOST_NAMES = 100_000
_BEHIND = (
    "the registry takes itself to be elsewhere: let the proxy before it send Host and X-Forwarded-Proto, or set the "
    "address in its configuration (http.host of docker-registry)"
)
_BINARY = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest as a registry sent it: its own digest, computed here."""

    digest: Digest
    media_type: str
    body: bytes

    @property
    def descriptor(self) -> Descriptor:
        """The reference to it."""
        return Descriptor(self.media_type, self.digest, len(self.body))


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that has begun: where it goes on, and the bytes that the registry has of it."""

    url: str
    done: int = 0


class Client:
    """One repository of a registry. Thread-safe; what it raises names the registry.

    Every method raises NotFoundError and NotAllowedError for what the registry says, and the errors of `Net` when it
    cannot be asked.
    """

    def __init__(self, registries: Registries, repository: Repository) -> None:
        self.registries = registries
        self.repository = repository
        self._pull, self._push, self._delete = ((scope(repository, actions),) for actions in (PULL, PUSH, DELETE))

    # -- manifests

    def manifest(self, reference: str) -> FetchedManifest:
        """The manifest at a tag or a digest. Raises TrustError when its bytes are not those that a digest promised."""
        answer = self._ask(self._pull, "GET", self._manifest(reference), headers=_ACCEPT)
        if answer.status != 200:
            raise self._refusal(answer, reference)
        found = digest_of(answer.body)
        for promised in (answer.headers.get("Docker-Content-Digest", ""), reference):
            if is_sha256(promised) and promised != str(found):
                raise TrustError(
                    f"{self.repository.place} sent a manifest of {self.repository.name} with the digest {found} "
                    f"instead of {promised}; nothing was written",
                    source=self.repository.place,
                )
        return FetchedManifest(found, answer.headers.get("Content-Type", "").partition(";")[0].strip(), answer.body)

    def head(self, reference: str) -> Digest | None:
        """The digest that the registry says a tag has; None when there is no such tag."""
        answer = self._ask(self._pull, "HEAD", self._manifest(reference), headers=_ACCEPT)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._refusal(answer, reference)
        named = answer.headers.get("Docker-Content-Digest", "")
        return Digest.parse(named) if is_sha256(named) else self.manifest(reference).digest

    def put(self, reference: str, body: bytes, media_type: str) -> Digest:
        """Write a manifest at a tag or its digest, over what is there."""
        headers = {"Content-Type": media_type}
        answer = self._ask(self._push, "PUT", self._manifest(reference), headers=headers, body=body)
        if answer.status not in (200, 201, 202):
            raise self._refusal(answer, reference)
        return digest_of(body)

    def tag(self, name: str, digest: str) -> None:
        """Have a tag stand for a manifest of the repository."""
        fetched = self.manifest(digest)
        self.put(name, fetched.body, fetched.media_type)

    def delete(self, reference: str) -> None:
        """Remove a tag, or a manifest with all its tags, where the registry allows it."""
        answer = self._ask(self._delete, "DELETE", self._manifest(reference))
        if answer.status not in (200, 202):
            raise self._refusal(answer, reference)

    def tags(self) -> tuple[str, ...]:
        """All tags; none of a repository that nobody has pushed to."""
        found = _listed(
            f"{self.repository.url}/tags/list", "tags", self.repository.registry, partial(self._ask, self._pull)
        )
        return found or ()

    def referrers(self, digest: Digest) -> Index:
        """The manifests whose subject this one is, such as signatures; by the tag that stands in for the API, too."""
        answer = self._ask(self._pull, "GET", f"{self.repository.url}/referrers/{digest}")
        if answer.status == 404:
            try:
                fetched = self.manifest(referrers_tag(digest))
            except NotFoundError:
                return Index(())
            body, kind = fetched.body, fetched.media_type
        elif answer.status == 200:
            body, kind = answer.body, OCI_INDEX
        else:
            raise self._refusal(answer, str(digest))
        found = parse(body, kind, self.repository.place)
        if not isinstance(found, Index):
            raise shapes.odd(self.repository.place, "the referrers are not an index")
        return found

    # -- blobs

    def blob_size(self, digest: Digest) -> int | None:
        """The bytes of a blob; None when the repository does not have it."""
        answer = self._ask(self._pull, "HEAD", self.blob_url(digest))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._refusal(answer, str(digest))
        length = shapes.whole(answer.headers.get("Content-Length", ""))
        if length is None:
            raise shapes.odd(self.repository.place, f"it does not say how long {digest} is")
        return length

    def blob(self, digest: Digest) -> bytes:
        """A small blob, whole and proven: at most `MOST` bytes."""
        answer = self._ask(self._pull, "GET", self.blob_url(digest))
        if answer.status != 200:
            raise self._refusal(answer, str(digest))
        if digest_of(answer.body) != digest:
            raise TrustError(
                f"{self.repository.place} sent other bytes for {digest}; they are not used",
                source=self.repository.place,
            )
        return answer.body

    def blob_url(self, digest: Digest) -> str:
        """The address of a blob."""
        return f"{self.repository.url}/blobs/{digest}"

    # -- pushing

    def mount(self, digest: Digest, other: str) -> Upload | None:
        """Take a blob over from the repository of this name in the registry.

        None when that was done, else the upload that the registry began instead.
        """
        query = urlencode({"mount": str(digest), "from": other})
        source = scope(Repository(self.repository.registry, other), PULL)
        answer = self._begin((*self._push, source), f"?{query}")
        return None if answer.status == 201 else self._continued(answer)

    def begin(self) -> Upload:
        """Begin the upload of a blob."""
        return self._continued(self._begin(self._push))

    def resume(self, url: str) -> Upload | None:
        """An upload that was begun before, as far as the registry has it; None when it has forgotten it."""
        if place(url) != place(self.repository.registry):
            return None
        answer = self._ask(self._push, "GET", url)
        if answer.status not in (202, 204):
            return None
        return self._continued(answer, url)

    def send(self, upload: Upload, chunk: bytes) -> Upload:
        """Send the bytes that follow on `upload.done`."""
        end = upload.done + len(chunk)
        headers = {**_BINARY, "Content-Range": f"{upload.done}-{end - 1}"}
        answer = self._ask(self._push, "PATCH", upload.url, headers=headers, body=chunk, attempts=1)
        if answer.status != 202:
            raise self._refusal(answer, "an upload")
        return replace(self._continued(answer, upload.url), done=end)

    def finish(self, upload: Upload, digest: Digest, body: bytes = b"") -> None:
        """End an upload, of which `body` may be all: the registry checks that what it has is this blob."""
        url = f"{upload.url}{'&' if '?' in upload.url else '?'}{urlencode({'digest': str(digest)})}"
        answer = self._ask(self._push, "PUT", url, headers=_BINARY, body=body, attempts=1)
        if answer.status != 201:
            raise self._refusal(answer, str(digest))

    # -- the parts of requests

    def _begin(self, scopes: Scopes, query: str = "") -> Answer:
        answer = self._ask(scopes, "POST", f"{self.repository.url}/blobs/uploads/{query}", body=b"", attempts=1)
        if answer.status not in (201, 202):
            raise self._refusal(answer, "an upload")
        return answer

    def _continued(self, answer: Answer, url: str = "") -> Upload:
        location = answer.headers.get("Location")
        if not location and not url:
            raise shapes.odd(self.repository.place, "it does not say where the upload goes on")
        # `0-499` are the first 500 bytes. Before the first one registries say `0-0`, as after one byte.
        end = shapes.whole(answer.headers.get("Range", "").removeprefix("bytes=").rpartition("-")[2])
        done = end + 1 if end else 0
        return Upload(here(self.repository.registry, answer.url, location) if location else url, done)

    def _manifest(self, reference: str) -> str:
        return f"{self.repository.url}/manifests/{quote(reference, safe=':')}"

    def _ask(
        self,
        scopes: Scopes,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """One request to the registry. What reads is led on by redirects."""

        def ask(net: Net) -> Answer:
            follow = method in ("GET", "HEAD")
            return net.exchange(method, url, headers=headers, body=body, attempts=attempts, follow=follow)

        registry = self.repository.registry
        with blaming(self.repository.place):
            try:
                return self.registries.ask(registry, scopes, ask)
            except (SourcesDownError, TemporaryError) as error:
                host, name = self.repository.place, self.repository.name
                if not {".", ":"} & set(host) and "/" not in name:
                    error.hint = f"if {host} is no host, but a part of the name: oci://HOST/{host}/{name}"
                raise
            except TrustError as error:
                if registry.startswith("https:"):
                    plain = Repository(registry.replace("https:", "http:", 1), self.repository.name)
                    error.hint = f"{error.hint}; if it has no certificate at all: {plain}"
                raise

    def _refusal(self, answer: Answer, what: str) -> GlmAriaError:
        had_login = self.registries.has_login(self.repository.registry)
        return refusal(answer, self.repository.place, self.repository.name, what, had_login=had_login)


def referrers_tag(digest: Digest) -> str:
    """The tag of the list of referrers of a manifest, where the registry keeps none itself."""
    return str(digest).replace(":", "-")


def catalog(registries: Registries, registry: str) -> tuple[str, ...]:
    """The names of all repositories of a registry. Raises ProtocolError for one that does not tell them."""

    def ask(method: str, url: str) -> Answer:
        with blaming(split(registry).netloc):
            return registries.ask(registry, (CATALOG,), lambda net: net.exchange(method, url))

    found = _listed(f"{registry}/v2/_catalog", "repositories", registry, ask)
    if found is None:
        host = split(registry).netloc
        raise ProtocolError(f"{host} does not tell which repositories it has: it answered HTTP 404", source=host)
    return found


def _listed(url: str, key: str, registry: str, ask: Callable[[str, str], Answer]) -> tuple[str, ...] | None:
    """The names in all pages of a list, which `Link` leads through; None where the registry has no such list."""
    host = split(registry).netloc
    found: dict[str, None] = {}
    url += f"?n={_PAGE}"
    seen: set[str] = set()
    while url not in seen and len(found) <= _MOST_NAMES:
        seen.add(url)
        answer = ask("GET", url)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refusal(answer, host, f"the list of {key}", key)
        with blaming(host):
            names = shapes.mapping(answer.value, host, f"the list of {key}").get(key) or []
            found.update(dict.fromkeys(map(str, shapes.sequence(names, host, f"the {key}"))))
        linked = answer.linked("next")
        if linked is None:
            return tuple(found)
        url = here(registry, answer.url, linked)
    raise shapes.odd(host, f"the list of its {key} does not end")


def here(registry: str, url: str, location: str) -> str:
    """An address that a registry leads to on itself. Raises ProtocolError for one elsewhere."""
    host = split(registry).netloc
    try:
        target = next_hop(url, location)
    except TrustError as error:
        error.hint = _BEHIND
        raise
    if place(target) != place(registry):
        behind = _BEHIND if split(target).hostname == split(registry).hostname else None
        raise ProtocolError(f"{host} leads to {split(target).netloc}; not followed", hint=behind, source=host)
    return target
