"""LM Studio's models: `<publisher>/<repo>/<files of the repo>` in one folder.

Sources: lmstudio.ai/docs/app/advanced/import-model ("expected models directory structure"), and the code of its
command line, lmstudio-ai/lms src/subcommands/importCmd.ts (07b7252): the folder is `downloadsFolder` of settings.json
in LM Studio's home, else `models` in it, and `lms import` itself makes hard links and symlinks there. Its home is what
`~/.lmstudio-home-pointer` says, else ~/.cache/lm-studio where that exists, else ~/.lmstudio (lmstudio-ai/lmstudio-js
packages/lms-common-server/src/findLMStudioHome.ts).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.refs import Ref
from orchestrator.errors import UsageError
from orchestrator.layouts.interface import (
    ONLY_BOOK,
    Arrangement,
    ModelFiles,
    Surroundings,
    ToolFolder,
    split_settings,
)
from orchestrator.layouts.trees import folders_in, has_file, read_folder, read_line, refs_of

_POINTER = ".lmstudio-home-pointer"


@dataclass(frozen=True, slots=True)
class LmStudio:
    """The layout `lm-studio`."""

    name: str = "lm-studio"
    title: str = "LM Studio"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """The folder of its settings, or the usual one in its home."""
        if around.home is None:
            return None
        home = _home(around.home)
        settings = home / "settings.json"
        if folder := read_folder(settings, "downloadsFolder"):
            return ToolFolder(folder, f"downloadsFolder in {settings}")
        return ToolFolder(home / "models", f"LM Studio's folder is {home}")

    def arrange(self, model: ModelFiles) -> Arrangement:
        """All files of the repo, below its name."""
        if "/" not in model.repo.name:
            raise UsageError(
                f"{model.repo.name} has no publisher, and LM Studio finds models by publisher and name",
                hint="glm-aria cache link … --layout flat, into a folder PUBLISHER/NAME that you choose",
            )
        files, left_out = split_settings(model.files)
        places = tuple((item.file.path, item.file.path) for item in files)
        return Arrangement(ONLY_BOOK, places, left_out=left_out, inside=model.repo.name)

    def claims(self, folder: Path) -> Iterable[Ref]:
        """A repo for each folder of a publisher's folder that has a file."""
        for publisher in folders_in(folder):
            for repo in folders_in(publisher):
                if has_file(repo):
                    yield from refs_of(f"{publisher.name}/{repo.name}")


def _home(home: Path) -> Path:
    said = read_line(home / _POINTER)
    if said and Path(said).is_absolute():
        return Path(said)
    older = home / ".cache" / "lm-studio"
    return older if older.exists() else home / ".lmstudio"
