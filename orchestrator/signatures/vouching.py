"""Sign the files of a model, and find out whether a key vouches for exactly the files of a listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.files import Digest
from orchestrator.core.trust import Signatory
from orchestrator.errors import ProtocolError, UnsafeError
from orchestrator.signatures import bundle, statement

_SENT = "the signer"
_BY_ANOTHER = "it is by another key"


class SigningKey(Protocol):
    """A private key. `public` is its other half."""

    @property
    def public(self) -> Signatory: ...

    def sign(self, message: bytes) -> bytes:
        """A signature of a message."""


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """The finding about signatures: one is by the key and of the files, or `reasons` why none is."""

    is_valid: bool
    reasons: tuple[str, ...] = ()


def sign(name: str, files: Mapping[str, Digest], signer: SigningKey) -> bytes:
    """A bundle in which a key vouches for these files, by path, as a model of this name. All digests are sha256."""
    payload = statement.render(name, files)
    signature = signer.sign(bundle.message(payload))
    return bundle.render(bundle.SignedStatement(payload, signature, signer.public.hint))


def judge(
    bundles: Iterable[bytes], key: Signatory, files: Mapping[str, Digest], site: str, *, is_whole: bool = True
) -> SignatureVerdict:
    """Find a signature by `key` over exactly these files among the bundles that `site` has.

    Nothing is hashed: the listing's digests are what a pull proves of every byte. Where the listing is not
    `is_whole`, more files may be signed than it has.
    """
    reasons: list[str] = []
    for body in bundles:
        try:
            found = bundle.parse(body, site)
            by_this_key = found.hint in (None, key.hint) and key.verifies(found.signature, found.message)
            reason = _difference(statement.parse(found.payload, site), files, is_whole) if by_this_key else _BY_ANOTHER
        except (ProtocolError, UnsafeError) as error:
            reason = error.message
        if reason is None:
            return SignatureVerdict(True)
        reasons.append(reason)
    return SignatureVerdict(False, tuple(dict.fromkeys(reasons)))


def unfit(body: bytes, files: Mapping[str, Digest]) -> str | None:
    """The reason why a bundle is not about exactly these files; None if it is. Who signed it stays open."""
    try:
        return _difference(statement.parse(bundle.parse(body, _SENT).payload, _SENT), files, is_whole=True)
    except (ProtocolError, UnsafeError) as error:
        return error.message


def _difference(signed: Mapping[str, Digest], files: Mapping[str, Digest], is_whole: bool) -> str | None:
    """The first difference between what was signed and a listing; None if there is none."""
    for path, digest in sorted(files.items()):
        if not statement.is_signed(path):
            continue
        known = signed.get(path)
        if known != digest:
            return f"{path!r} is not signed" if known is None else f"{path!r} was signed with other bytes"
    missing = min(signed.keys() - files.keys(), default=None) if is_whole else None
    return None if missing is None else f"{missing[:200]!r} was signed and is not there"
