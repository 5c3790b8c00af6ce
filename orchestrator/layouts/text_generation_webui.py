"""text-generation-webui's models: a folder for each in `user_data/models`, and GGUF files anywhere below.

Sources: oobabooga/text-generation-webui (1dcde41): README.md ("Downloading models"), modules/utils.py
(`get_available_models`: each folder is a model, GGUF files are found below it), download-model.py (the folder is
`org_name`, `org_name_branch` for another branch than main, with `huggingface-metadata.txt` in it), modules/paths.py
(where `user_data` is depends on how the server is started, so nothing on disk says it).

Any folder in there is taken for a model, so our book lies in the model's own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.errors import GlmAriaError
from orchestrator.layouts.interface import (
    ONLY_BOOK,
    Arrangement,
    ModelFiles,
    Surroundings,
    ToolFolder,
    split_settings,
)
from orchestrator.layouts.trees import folders_in, read_text, refs_of

_NOTES = "huggingface-metadata.txt"
_URL = re.compile(r"^url: https?://[^/\s]+/([^/\s]+/[^/\s]+)\s*$", re.MULTILINE)
_BRANCH = re.compile(r"^branch: (\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TextGenerationWebui:
    """The layout `text-generation-webui`."""

    name: str = "text-generation-webui"
    title: str = "text-generation-webui"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """Nowhere: it depends on how the server is started."""
        del around
        return None

    def arrange(self, model: ModelFiles) -> Arrangement:
        """All files of the repo, in the folder that its own downloader would make."""
        files, left_out = split_settings(model.files)
        branch = "" if model.revision in (None, "main") else f"_{model.revision}"
        inside = f"{model.repo.name}{branch}".replace("/", "_")
        places = tuple((item.file.path, item.file.path) for item in files)
        return Arrangement(ONLY_BOOK, places, left_out=left_out, inside=inside)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """The repo that the notes of its downloader name; without them the one that the name of the folder may mean."""
        return dict.fromkeys(ref for model in folders_in(folder) for ref in _claims(model))


def _claims(folder: Path) -> Iterator[Ref]:
    notes = read_text(folder / _NOTES)
    if url := _URL.search(notes):
        branch = _BRANCH.search(notes)
        with contextlib.suppress(GlmAriaError):
            yield Ref(RepoId(RepoType.MODEL, url[1]), branch[1] if branch else "main")
        return
    owner, separator, name = folder.name.partition("_")
    if separator:
        yield from refs_of(f"{owner}/{name}")
