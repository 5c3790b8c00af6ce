"""ModelScope's documents: what it says of a repo at a commit, made of our listing. No I/O.

Fields are those that modelscope 1.37 and modelscope-hub 0.5.1 read.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.files import RepoFile
from orchestrator.core.plan import ResolvedModel
from orchestrator.registry.own import ModelNames
from orchestrator.serve.http.headers import of_content
from orchestrator.serve.http.printing import dumped
from orchestrator.serve.http.refusals import Refused, as_text
from orchestrator.serve.modelscope.grammar import FileContent, FolderListing, RepoFacts
from orchestrator.serve.stock.entries import entries

_CODES = {"RepoNotFound": 10010205001, "RevisionNotFound": 10010205002, "EntryNotFound": 10010205004}
"""Codes of ModelScope's for those that a refusal has. Others are told by their status."""

Json = dict[str, Any]


def facts(asked: RepoFacts, model: ResolvedModel) -> Json:
    """The repo as a whole."""
    owner, _, name = asked.ref.repo.name.partition("/")
    return {
        # modelscope up to 1.37 lists a dataset by the number that it has at ModelScope, which it puts where the name
        # stands in other addresses. Here the name is the number.
        "Id": asked.ref.repo.name,
        "Type": 1,
        "Path": owner,
        "Name": name,
        "Revision": asked.ref.revision,
        "Private": False,
        "Visibility": 5,
        "StorageSize": model.tree.total_size,
        "LastUpdatedTime": _moment(model),
    }


def revisions(told: Any) -> Json:
    """Branches and tags as ModelScope told them, the parts that clients read. Raises Refused for anything else."""
    found = {}
    try:
        for kind in ("Branches", "Tags"):
            named = told["Data"]["RevisionMap"].get(kind) or ()
            found[kind] = [revision(str(one["Revision"]), int(one.get("CreatedAt") or 0)) for one in named]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Refused(502, "ModelScope sent a malformed answer about branches and tags") from None
    return {"RevisionMap": found}


def known_revisions(names: Iterable[str]) -> Json:
    """Branches and tags while ModelScope does not tell: those that were asked for before, all as branches."""
    return {"RevisionMap": {"Branches": [revision(name, 0) for name in dict.fromkeys(names)], "Tags": []}}


def own_revisions(names: ModelNames) -> Json:
    """The aliases of a model of the registry as branches, with the main one, and its versions as tags."""
    branches = dict.fromkeys((MODELSCOPE.main, *(one.name for one in names.branches)))
    return {
        "RevisionMap": {
            "Branches": [revision(name, 0) for name in branches],
            "Tags": [revision(one.name, int(one.at)) for one in names.tags],
        }
    }


def revision(name: str, created: int) -> Json:
    """A branch or a tag, with the unix seconds of its last change."""
    return {"Revision": name, "CreatedAt": created}


def newest_commit(model: ResolvedModel) -> Json:
    """A history of one commit."""
    return {"Commit": [{"Id": model.commit, "CommittedDate": _moment(model)}], "TotalCount": 1}


def listing(asked: FolderListing, model: ResolvedModel) -> bytes:
    """An answer with the entries of a folder, which is empty where there is none: so clients look for what no file
    matches.

    A model's is never cut, as ModelScope's is at 3,000 entries, and may be long: it is encoded entry by entry, so that
    other threads get their turn.
    """
    found = entries(model.tree, asked.folder, recursive=asked.recursive)
    listed: list[tuple[str, RepoFile | None]] = [(path, None) for path in found.folders]
    listed += [(file.path, file) for file in found.files]
    listed.sort(key=itemgetter(0))
    end = None if asked.size is None else asked.start + asked.size
    head, files, tail = answer({"Files": [], "TotalCount": len(listed)}).partition(b"[]")
    shown = (dumped(_entry(path, file, model)) for path, file in listed[asked.start : end])
    return b"".join((head, files[:1], b",".join(shown), files[1:], tail))


def find_file(asked: FileContent, model: ResolvedModel) -> RepoFile:
    """The file that a path names in the commit's listing. Raises Refused."""
    file = model.tree.file(asked.path)
    if file is None:
        raise Refused(404, f"{asked.path!r} does not exist at {model.commit}", "EntryNotFound")
    return file


def file_headers(file: RepoFile) -> dict[str, str]:
    """The headers of an answer with a file's bytes, or of a HEAD.

    modelscope-hub hashes a file by `X-Linked-ETag` where it has no listing of it.
    """
    return of_content(file.path, file.blob_name) | {"X-Linked-ETag": f'"{file.blob_name}"'}


def answer(data: Any) -> bytes:
    """An answer that says it is one."""
    return dumped({"Code": 200, "Success": True, "Message": "success", "RequestId": "", "Data": data})


def refusal(refused: Refused) -> bytes:
    """A refusal. modelscope-hub takes one with the status 200 for an empty repo, so its status is its own."""
    code = _CODES.get(refused.code, refused.status)
    return dumped({"Code": code, "Success": False, "Message": as_text(refused), "RequestId": ""})


def _entry(path: str, file: RepoFile | None, model: ResolvedModel) -> Json:
    """A file, or a folder."""
    return {
        "Path": path,
        "Name": path.rpartition("/")[2],
        "Size": file.size if file else 0,
        "Sha256": file.digest.hex if file else "",
        "IsLFS": bool(file and file.is_lfs),
        "Type": "blob" if file else "tree",
        "Mode": "33188" if file else "16384",
        # ModelScope tells the commit that changed the file last. Clients keep what they have while it is the same.
        "Revision": model.commit,
        "CommittedDate": _moment(model),
    }


def _moment(model: ResolvedModel) -> int:
    return int(model.modified or 0)
