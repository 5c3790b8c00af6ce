"""The statement that is signed: an in-toto statement of all files of a model, to bytes and back. No I/O.

The predicate is that of OpenSSF model-signing, version 1.0, with one sha256 for each file. What belongs to git is not
in it, as that library leaves it out: `.gitattributes` and the like, which no program loads as a part of a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.files import MAX_FILES, Algorithm, Digest
from orchestrator.lists.json_text import parse_json
from orchestrator.net import shapes

PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_OF_GIT = (".git", ".gitattributes", ".github", ".gitignore")
_SERIALIZATION = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
    "ignore_paths": list(_OF_GIT),
}


def is_signed(path: str) -> bool:
    """False for what a statement leaves out."""
    return path.partition("/")[0] not in _OF_GIT


def render(name: str, files: Mapping[str, Digest]) -> bytes:
    """The statement of files, by path, as a model of this name; the name is for people. All digests are sha256."""
    # The library's order: that of paths by their parts.
    order = sorted(filter(is_signed, files), key=lambda path: path.split("/"))
    return json.dumps(
        {
            "_type": _STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": _root(files[path].hex for path in order)}}],
            "predicateType": _PREDICATE,
            "predicate": {
                "serialization": _SERIALIZATION,
                "resources": [{"name": path, "algorithm": "sha256", "digest": files[path].hex} for path in order],
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def parse(payload: bytes, site: str) -> dict[str, Digest]:
    """The files of a statement that `site` sent, by path.

    Raises ProtocolError for one of another kind, UnsafeError for what is no digest.
    """
    what = "the signed statement"
    found = shapes.mapping(loaded(payload, site, what), site, what)
    if (found.get("_type"), found.get("predicateType")) != (_STATEMENT, _PREDICATE):
        raise shapes.odd(site, f"{what} is not one of model-signing 1.0")
    predicate = shapes.mapping(found.get("predicate"), site, "the signed predicate")
    way = shapes.mapping(predicate.get("serialization"), site, "the signed serialization")
    if (way.get("method"), way.get("hash_type")) != ("files", "sha256"):
        raise shapes.odd(site, f"{what} has no sha256 of whole files, which is all that can be compared with a listing")
    resources = shapes.sequence(predicate.get("resources"), site, "the signed resources")
    if len(resources) > MAX_FILES:
        raise shapes.odd(site, f"{what} has {len(resources)} files; at most {MAX_FILES} are accepted")
    files: dict[str, Digest] = {}
    for resource in resources:
        path, digest = _file(resource, site)
        if path in files:
            raise shapes.odd(site, f"{what} has {path[:200]!r} twice")
        files[path] = digest
    if _said(found, site) != _root(digest.hex for digest in files.values()):
        raise shapes.odd(site, f"{what} contradicts its own digest")
    return files


def loaded(body: bytes | str, site: str, what: str) -> Any:
    """JSON of a site."""
    try:
        return parse_json(body)
    except ValueError as error:
        raise shapes.odd(site, f"{what} is no JSON with one meaning") from error


def _file(resource: Any, site: str) -> tuple[str, Digest]:
    found = shapes.mapping(resource, site, "a signed file")
    path = shapes.text(found, "name", site, "a signed file")
    if found.get("algorithm") != Algorithm.SHA256:
        raise shapes.odd(site, f"the signed digest of {path[:200]!r} is no sha256")
    digits = shapes.text(found, "digest", site, "a signed file")
    return path, shapes.digest(Algorithm.SHA256, digits, site, path[:200])


def _said(found: dict[str, Any], site: str) -> object:
    subjects = shapes.sequence(found.get("subject"), site, "the signed subject")
    subject = shapes.mapping(subjects[0] if len(subjects) == 1 else None, site, "the signed subject")
    return shapes.mapping(subject.get("digest"), site, "the digest of the signed subject").get("sha256")


def _root(digests: Iterable[str]) -> str:
    """The digest of all digests, in their order."""
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(bytes.fromhex(digest))
    return whole.hexdigest()
