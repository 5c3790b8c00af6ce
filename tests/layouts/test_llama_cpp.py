"""llama.cpp's folders: a cache of the Hub's form, and the flat one before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts.interface import Surroundings
from orchestrator.layouts.llama_cpp import LlamaCpp, LlamaCppFlat
from tests.layouts.models import model
from tests.plain import ONE, TWO

FILES = {
    "README.md": b"#",
    "m-Q4_K_M.gguf": b"four",
    "m-Q8_0.gguf": b"eight",
    "mmproj-F16.gguf": b"eyes",
    "BF16/m-BF16-00001-of-00002.gguf": b"one",
    "BF16/m-BF16-00002-of-00002.gguf": b"two",
}
GGUF = [path for path in FILES if path.endswith(".gguf")]


def test_a_snapshot_of_the_commit_is_the_repos_main_one() -> None:
    arranged = LlamaCpp().arrange(model(FILES, "org/m-GGUF"))
    assert arranged.inside == "models--org--m-GGUF"
    assert dict(arranged.places) == {path: f"snapshots/{ONE}/{path}" for path in GGUF}
    assert arranged.beside == (("refs/main", ONE.encode()),)
    assert [item.path for item in arranged.left_out] == ["README.md"]


def test_flat_names_and_a_manifest_for_each_tag() -> None:
    arranged = LlamaCppFlat().arrange(model(FILES, "org/m-GGUF"))
    assert dict(arranged.places)["BF16/m-BF16-00001-of-00002.gguf"] == "org_m-GGUF_BF16_m-BF16-00001-of-00002.gguf"
    manifests = {place: json.loads(text) for place, text in arranged.beside}
    keys = ("ggufFile", "mmprojFile")
    said = {place: tuple(each[key]["rfilename"] for key in keys) for place, each in manifests.items()}
    assert said == {
        "manifest=org=m-GGUF=Q4_K_M.json": ("m-Q4_K_M.gguf", "mmproj-F16.gguf"),
        "manifest=org=m-GGUF=latest.json": ("m-Q4_K_M.gguf", "mmproj-F16.gguf"),
        "manifest=org=m-GGUF=Q8_0.json": ("m-Q8_0.gguf", "mmproj-F16.gguf"),
        "manifest=org=m-GGUF=BF16.json": ("BF16/m-BF16-00001-of-00002.gguf", "mmproj-F16.gguf"),
    }


@pytest.mark.parametrize("layout", [LlamaCpp(), LlamaCppFlat()])
def test_a_model_without_gguf_or_owner_is_of_no_use(layout: LlamaCpp | LlamaCppFlat) -> None:
    with pytest.raises(UsageError, match="GGUF"):
        layout.arrange(model({"model.safetensors": b"s"}))
    with pytest.raises(UsageError, match="owner"):
        layout.arrange(model({"m.gguf": b"g"}, "m"))


def test_its_folder_is_that_of_the_first_variable(tmp_path: Path) -> None:
    def found(layout: LlamaCpp | LlamaCppFlat, **environ: str) -> str | None:
        folder = layout.find(Surroundings(tmp_path, environ))
        return str(folder.folder) if folder else None

    assert found(LlamaCpp(), LLAMA_CACHE="/a", HF_HOME="/b") == "/a"
    assert found(LlamaCpp(), HF_HUB_CACHE="/a", HF_HOME="/b") == "/a"
    assert found(LlamaCpp(), HF_HOME="/b", XDG_CACHE_HOME="/c") == "/b/hub"
    assert found(LlamaCpp(), XDG_CACHE_HOME="/c") == "/c/huggingface/hub"
    assert found(LlamaCpp()) == f"{tmp_path}/.cache/huggingface/hub"
    assert found(LlamaCppFlat(), LLAMA_CACHE="/a", XDG_CACHE_HOME="/c") == "/a"
    assert str(found(LlamaCppFlat())).endswith("/llama.cpp")
    assert LlamaCpp().find(Surroundings(None, {})) is None


def test_both_forms_say_their_repos(tmp_path: Path) -> None:
    repo = "models--org--m"
    for name in (f"{repo}/snapshots/{TWO}/m.gguf", f"{repo}/refs/main", "models--odd/x", "datasets--a--b/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ONE)
    (tmp_path / "manifest=org=flat=latest.json").write_text("{}")
    (tmp_path / "manifest=..=flat=latest.json").write_text("{}")
    expected = ["org/m@main", f"org/m@{ONE}", f"org/m@{TWO}", "org/flat@main"]
    assert [str(ref) for ref in LlamaCpp().claims(tmp_path)] == expected
    assert [str(ref) for ref in LlamaCppFlat().claims(tmp_path)] == expected
