"""Ollama's models: names, manifests and blobs as its sources and the Hub's documents have them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import UsageError
from orchestrator.layouts import ollama
from orchestrator.layouts.interface import Arrangement, ModelFiles, Surroundings
from orchestrator.layouts.ollama import Ollama, OllamaName, parse_name, shown_count
from tests.layouts.gguf import gguf
from tests.layouts.models import model

OLLAMA = Ollama()
GGUF = gguf({"general.architecture": "qwen3", "general.file_type": 15}, {"w": (1000, 1500)})
NAME = "manifests/hf.co/org/m-GGUF"


def arranged(folder: Path, content: dict[str, bytes], name: str = "org/m-GGUF") -> Arrangement:
    return OLLAMA.arrange(model(content, name, folder))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def described(media: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media, "digest": f"sha256:{sha256(data)}", "size": len(data)}


def layer(kind: str, data: bytes) -> dict[str, Any]:
    return described(f"application/vnd.ollama.image.{kind}", data)


def test_a_file_is_a_blob_that_a_manifest_names(tmp_path: Path) -> None:
    found = arranged(tmp_path, {"m-Q4_K_M.gguf": GGUF, "README.md": b"# m"})
    assert found.places == (("m-Q4_K_M.gguf", f"blobs/sha256-{sha256(GGUF)}"),)
    (config_place, config), (place, manifest) = found.beside
    assert json.loads(config) == {
        "model_format": "gguf", "model_family": "qwen3", "model_families": ["qwen3"], "model_type": "1.50M",
        "file_type": "Q4_K_M", "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(GGUF)}"]},
    }  # fmt: skip
    assert config_place == f"blobs/sha256-{sha256(config)}"
    assert place == f"{NAME}/Q4_K_M"
    assert json.loads(manifest) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": described("application/vnd.docker.container.image.v1+json", config),
        "layers": [layer("model", GGUF)],
    }
    assert [item.path for item in found.left_out] == ["README.md"]
    assert found.commands == ("ollama run hf.co/org/m-GGUF:Q4_K_M",)


def test_what_the_hub_takes_from_a_repo_is_in_the_manifest(tmp_path: Path) -> None:
    content = {
        "m-Q8_0.gguf": GGUF, "mmproj-F16.gguf": gguf({"general.architecture": "clip"}), "template": b"{{ .Prompt }}",
        "system": b"Be brief.", "params": b'{"stop": ["<|end|>"]}', "sub/template": b"not at the top",
    }  # fmt: skip
    found = arranged(tmp_path, content)
    layers = json.loads(dict(found.beside)[f"{NAME}/Q8_0"])["layers"]
    assert layers == [
        layer("model", GGUF), layer("projector", content["mmproj-F16.gguf"]), layer("template", content["template"]),
        layer("system", content["system"]), layer("params", content["params"]),
    ]  # fmt: skip
    assert {place for _, place in found.places} == {f"blobs/{item['digest'].replace(':', '-')}" for item in layers}


def test_each_quantisation_has_a_name_and_twins_have_that_of_their_file(tmp_path: Path) -> None:
    names = ("m-Q4_K_M.gguf", "m.q8_0.gguf", "UD/m-Q2_K.gguf", "other/n-Q2_K.gguf", "plain.gguf")
    found = arranged(tmp_path, {name: gguf({"general.name": name}) for name in names})
    made = [place for place, _ in found.beside if place.startswith("manifests/")]
    assert sorted(made) == [f"{NAME}/{tag}" for tag in ("Q4_K_M", "m-Q2_K.gguf", "n-Q2_K.gguf", "plain", "q8_0")]
    first = [place.split("/")[0] for place, _ in found.beside]
    assert first == sorted(first), "each blob comes before the manifest that names it"


def test_models_of_several_files_are_left_out(tmp_path: Path) -> None:
    shards = {f"m-Q8_0-0000{number}-of-00002.gguf": GGUF + bytes([number]) for number in (1, 2)}
    found = arranged(tmp_path, {**shards, "m-Q4_0.gguf": GGUF})
    assert [place for place, _ in found.beside if place.startswith("manifests/")] == [f"{NAME}/Q4_0"]
    assert [item.path for item in found.left_out] == sorted(shards)
    with pytest.raises(UsageError, match="2 shards"):
        arranged(tmp_path, shards)
    with pytest.raises(UsageError, match="5 shards"):
        arranged(tmp_path, {"m-Q4_0.gguf": gguf({"split.count": 5})})


def test_what_is_no_gguf_is_left_out(tmp_path: Path) -> None:
    found = arranged(tmp_path, {"m-Q4_0.gguf": GGUF, "vocab.gguf": b"version https://git-lfs"})
    assert [item.path for item in found.left_out] == ["vocab.gguf"]
    with pytest.raises(UsageError, match="vocab"):
        arranged(tmp_path, {"vocab.gguf": b""})


def test_a_name_of_the_users_is_for_one_model(tmp_path: Path) -> None:
    content = {"m-Q4_K_M.gguf": GGUF, "m-Q8_0.gguf": gguf()}
    several, one = model(content, "gpt2", tmp_path), model({"m.gguf": GGUF}, "gpt2", tmp_path)

    def names(typed: str, files: ModelFiles) -> list[str]:
        found = replace(OLLAMA, called=parse_name(typed)).arrange(files)
        return [place for place, _ in found.beside if place.startswith("manifests/")]

    assert names("tiny:3b", one) == ["manifests/registry.ollama.ai/library/tiny/3b"]
    assert names("team/tiny:q8_0", several) == ["manifests/registry.ollama.ai/team/tiny/q8_0"]
    with pytest.raises(UsageError, match="Q4_K_M, Q8_0"):
        names("tiny", several)
    books = {replace(OLLAMA, called=parse_name(name)).arrange(one).book for name in ("a", "b", "x/a")}
    assert len({*books, OLLAMA.arrange(model({"m.gguf": GGUF}, "org/m", tmp_path)).book}) == 4
    shards = {f"m-BF16-0000{number}-of-00002.gguf": b"s" for number in (1, 2)}
    beside_shards = model({**shards, "m-Q8_0.gguf": GGUF}, "gpt2", tmp_path)
    assert names("tiny", beside_shards) == ["manifests/registry.ollama.ai/library/tiny/latest"]


def test_other_quantisations_than_the_one_that_is_named_are_told_as_that(tmp_path: Path) -> None:
    several = model({"m-Q4_K_M.gguf": GGUF, "m-Q8_0.gguf": gguf(), "README.md": b"hi"}, "gpt2", tmp_path)
    found = replace(OLLAMA, called=parse_name("tiny:q8_0")).arrange(several)
    assert {item.path: item.reason for item in found.left_out} == {
        "README.md": "Ollama has no use for it",
        "m-Q4_K_M.gguf": "tiny:q8_0 is another quantisation",
    }


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"model.safetensors": b"s"}, "org/m"),
        ({"mmproj-F16.gguf": GGUF}, "org/m"),
        ({"m-Q4_0.gguf": GGUF}, "gpt2"),
        ({"m-Q4_0.gguf": GGUF}, "or.g/m"),
        ({"m-Q4_0.gguf": GGUF}, f"org/{'m' * 90}"),
    ],
)
def test_what_ollama_has_no_name_or_no_use_for_is_refused(tmp_path: Path, content: dict[str, bytes], name: str) -> None:
    with pytest.raises(UsageError):
        arranged(tmp_path, content, name)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("llama3.2", OllamaName("registry.ollama.ai", "library", "llama3.2", "latest")),
        ("llama3.2:3b", OllamaName("registry.ollama.ai", "library", "llama3.2", "3b")),
        ("team/m:v1", OllamaName("registry.ollama.ai", "team", "m", "v1")),
        ("hf.co/org/m:Q4_K_M", OllamaName("hf.co", "org", "m", "Q4_K_M")),
        ("localhost:5000/org/m", OllamaName("localhost:5000", "org", "m", "latest")),
    ],
)
def test_names_are_read_as_ollama_reads_them(typed: str, name: OllamaName) -> None:
    assert parse_name(typed) == name
    assert parse_name(str(name)) == name


@pytest.mark.parametrize(
    "typed", ["", ":", "m:", ":t", "a/b/c/d", "../m", "/m", "m/", "-m", "m:t/x", "te.am/m", "m:" + "t" * 81]
)
def test_other_names_are_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_name(typed)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (999, "999"),
        (1_500, "2K"),
        (134_515_008, "134.52M"),
        (7 * 10**6, "7M"),
        (3_212_749_888, "3.2B"),
        (8 * 10**9, "8B"),
    ],
)
def test_numbers_of_parameters_are_written_as_ollama_writes_them(number: int, shown: str) -> None:
    assert shown_count(number) == shown


def test_its_folder_is_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = tmp_path / "service"
    monkeypatch.setattr(ollama, "_SERVICE", service)

    def found(home: Path | None, **environ: str) -> Path | None:
        folder = OLLAMA.find(Surroundings(home, environ))
        return folder.folder if folder else None

    assert found(tmp_path) == tmp_path / ".ollama" / "models"
    service.mkdir()
    assert found(tmp_path) == found(None) == service / ".ollama" / "models"
    (tmp_path / ".ollama" / "models").mkdir(parents=True)
    assert found(tmp_path) == tmp_path / ".ollama" / "models"
    assert found(tmp_path, OLLAMA_MODELS=' "/big/models" ') == Path("/big/models")


def test_names_of_its_manifests_tell_repos(tmp_path: Path) -> None:
    for name in (
        "hf.co/org/m/Q4_K_M", "hf.co/org/m/Q8_0", "huggingface.co/org/n/latest", "modelscope.cn/org/s/latest",
        "registry.ollama.ai/library/llama3.2/3b", "hf.co/org/..odd/latest", "hf.co/loose",
    ):  # fmt: skip
        path = tmp_path / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert [str(ref) for ref in OLLAMA.claims(tmp_path)] == ["org/m@main", "org/n@main", "ms://org/s@master"]
    assert list(OLLAMA.claims(tmp_path / "nowhere")) == []
