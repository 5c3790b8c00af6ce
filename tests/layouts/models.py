"""Models for layouts, of plain values: files of a listing, with or without bytes on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.refs import RepoId, RepoType
from orchestrator.layouts.interface import ModelFiles, ProvenFile
from tests.plain import ONE, file_of


def model(
    content: Mapping[str, bytes], name: str = "org/m", folder: Path | None = None, revision: str | None = None
) -> ModelFiles:
    """A model with this content; its bytes lie in `folder` where one is given."""
    files = []
    for number, (path, data) in enumerate(sorted(content.items())):
        real = (folder or Path("/nowhere")) / f"blob-{number}"
        if folder is not None:
            real.write_bytes(data)
        files.append(ProvenFile(file_of(path, data), real))
    return ModelFiles(RepoId(RepoType.MODEL, name), ONE, revision, tuple(files))
