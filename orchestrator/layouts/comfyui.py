"""ComfyUI's models: a folder for each kind of file in one `models` folder.

Sources: Comfy-Org/ComfyUI folder_paths.py (1df2885: the folders of each kind, `clip` and `unet` are older names, files
are found below them by their endings), nodes.py (`DiffusersLoader`: a whole repo of diffusers is a folder in
`diffusers`), docs.comfy.org/basic-concepts/models. Where it is installed is told by comfy-cli (1.23.0: constants.py and
workspace_manager.py, config.ini) and ComfyUI's desktop program (Comfy-Org/desktop src/store/desktopSettings.ts,
config.json); extra_model_paths.yaml can name further folders of the same form.
"""

from __future__ import annotations

import configparser
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from orchestrator.core.refs import Ref
from orchestrator.errors import UsageError
from orchestrator.layouts.interface import (
    Arrangement,
    LeftOut,
    ModelFiles,
    ProvenFile,
    Surroundings,
    ToolFolder,
    book_of,
)
from orchestrator.layouts.kinds import is_read, kind_by_path, kind_of
from orchestrator.layouts.trees import read_folder, read_text

_PIPELINE = "model_index.json"
# Names that say nothing of whose file it is: many repos have them, and one folder has the files of all.
_USUAL = {"model", "diffusion_pytorch_model", "pytorch_model", "pytorch_lora_weights", "adapter_model"}


@dataclass(frozen=True, slots=True)
class ComfyUi:
    """The layout `comfyui`."""

    name: str = "comfyui"
    title: str = "ComfyUI"
    is_of_program: bool = True

    def find(self, around: Surroundings) -> ToolFolder | None:
        """The folder of the workspace of comfy-cli, or of the desktop program."""
        if around.home is None:
            return None
        settings = around.home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
        cli = settings / "comfy-cli" / "config.ini"
        if workspace := _workspace(read_text(cli)):
            return ToolFolder(workspace / "models", f"the workspace in {cli}")
        desktop = settings / "ComfyUI" / "config.json"
        if base := read_folder(desktop, "basePath"):
            return ToolFolder(base / "models", f"basePath in {desktop}")
        usual = around.home / "comfy" / "ComfyUI"
        return ToolFolder(usual / "models", f"comfy-cli's usual folder is {usual}") if usual.is_dir() else None

    def arrange(self, model: ModelFiles) -> Arrangement:
        """Weights by their kind; of a repo of diffusers all that is no single file as a whole."""
        is_pipeline = any(item.file.path == _PIPELINE for item in model.files)
        kinds = {item.file.path: _kind(item, is_pipeline=is_pipeline) for item in model.files}
        names = Counter(_short(path, kind) for path, kind in kinds.items() if kind)
        places, left_out = [], []
        for path, kind in kinds.items():
            if kind:
                short = _short(path, kind)
                is_clear = names[short] == 1 and PurePath(short).stem.lower() not in _USUAL
                places.append((path, short if is_clear else f"{kind}/{_own_name(model)}/{path}"))
            elif is_pipeline:
                places.append((path, f"diffusers/{_own_name(model)}/{path}"))
            elif is_read(path):
                left_out.append(LeftOut(path, "neither its path nor what is in it says of which kind it is"))
            else:
                left_out.append(LeftOut(path, "ComfyUI reads weights only"))
        if not places:
            raise UsageError(
                f"{model.repo.name} has no file of a kind that ComfyUI knows",
                hint="to put its files into a folder of your choice: glm-aria cache link … DIR --layout flat --hard",
            )
        return Arrangement(book_of(model.repo), tuple(places), left_out=tuple(left_out))

    def claims(self, folder: Path) -> Iterable[Ref]:
        """None: the names of files are all there is, and they do not say a repo."""
        del folder
        return ()


def _kind(item: ProvenFile, *, is_pipeline: bool) -> str | None:
    """The kind of a file of weights, None for all else: of a pipeline, its parts are no files of their own."""
    path = item.file.path
    if not is_read(path) or (is_pipeline and "/" in path):
        return None
    return kind_of(item)


def _short(path: str, kind: str) -> str:
    """The place by which workflows know a file: below its kind, without the folders of the repo."""
    known = kind_by_path(path)
    return f"{kind}/{known[1] if known else PurePath(path).name}"


def _own_name(model: ModelFiles) -> str:
    return model.repo.name.replace("/", "--")


def _workspace(text: str) -> Path | None:
    """The workspace that comfy-cli uses when none is named: the default one, else the one of the last time."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(text)
    except configparser.Error:
        return None
    for name in _said(config):
        if Path(name).is_absolute():
            return Path(name)
    return None


def _said(config: configparser.ConfigParser) -> Iterator[str]:
    for key in ("default_workspace", "recent_workspace"):
        if value := config.defaults().get(key):
            yield value
