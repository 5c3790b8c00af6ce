"""An artifact of an OCI registry as a source: each layer is a file, named by its title, as `oras push` makes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.core.registries import is_sha256
from orchestrator.desired.sources.interface import MOST
from orchestrator.desired.wish.address import ArtifactAddress
from orchestrator.desired.wish.document import NAMES
from orchestrator.errors import ConfigError, FileAbsentError, ProtocolError, RevisionAbsentError, UnsafeError
from orchestrator.oci.client import Client
from orchestrator.oci.manifest import Descriptor, Manifest, parse

OpenClient = Callable[[], contextlib.AbstractContextManager[Client]]
_ENDINGS = (".toml", ".txt", ".lock")


class ArtifactSource:
    """Implements `DesiredSource`. What a tag means now is read by its digest."""

    is_near = False

    def __init__(self, address: ArtifactAddress, client: OpenClient, *, is_signed: bool = False) -> None:
        if address.is_open and not is_signed:
            raise ConfigError(
                f"anybody on the way can answer in the place of {address}",
                hint="use https, name a digest, or ask for signed files: --allowed-signers FILE",
            )
        self._address = address
        self._client = client

    def look(self) -> str:
        if is_sha256(self._address.reference):
            return self._address.reference
        with self._client() as client:
            found = client.head(self._address.reference)
        if found is None:
            raise RevisionAbsentError(f"there is no {self._address}")
        return str(found)

    @contextlib.contextmanager
    def open(self) -> Iterator[ArtifactTree]:
        with self._client() as client:
            fetched = client.manifest(self._address.reference)
            found = parse(fetched.body, fetched.media_type, client.repository.place)
            if not isinstance(found, Manifest):
                raise ProtocolError(f"{self._address} is an index, and no artifact with files")
            layers = {layer.path: layer for layer in found.layers if layer.path is not None}
            named = [path for path in layers if path.endswith(_ENDINGS)]
            top = named[0] if len(named) == 1 and named[0] not in NAMES else None
            yield ArtifactTree(str(fetched.digest), top, client, layers)


@dataclass(slots=True)
class ArtifactTree:
    """Implements `SourceTree` for one manifest."""

    revision: str
    top: str | None
    client: Client
    layers: Mapping[str, Descriptor]
    _contents: dict[str, bytes] = field(default_factory=dict)
    moment: None = None

    def read(self, name: str) -> bytes:
        if name not in self._contents:
            layer = self.layers.get(name)
            if layer is None:
                raise FileAbsentError(f"the artifact {self.revision[:19]} has no file {name!r}", file=name)
            if layer.size > MOST or layer.is_archive:
                raise UnsafeError(
                    f"{name!r} of the artifact {self.revision[:19]} is an archive, or too large", file=name
                )
            self._contents[name] = self.client.blob(layer.digest)
        return self._contents[name]
