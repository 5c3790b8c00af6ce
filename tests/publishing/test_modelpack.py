"""Manifests of models, with plain values."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.oci.manifest import files_of, parse, render
from orchestrator.publishing.folder import HubOrigin
from orchestrator.publishing.modelpack import ModelFacts, ModelFile, media_type_of, pack

A, B = (Digest(Algorithm.SHA256, digit * 64) for digit in "ab")
FILES = (ModelFile("model.safetensors", 9, A), ModelFile("config.json", 2, B, Digest(Algorithm.GIT_SHA1, "c" * 40)))
ORIGIN = HubOrigin(RepoId(RepoType.MODEL, "org/name"), "d" * 40)

TOLD = ModelFacts("team/model", "1.2.3", ORIGIN, "mit", {"model_type": "glm", "torch_dtype": "bfloat16"})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model-00001-of-2.safetensors", "weight"),
        ("a/pytorch_model.BIN", "weight"),
        ("config.json", "weight.config"),
        ("tokenizer.model", "weight.config"),
        ("README.md", "doc"),
        ("LICENSE", "doc"),
        ("modeling_glm.py", "code"),
        ("train.parquet", "dataset"),
        (".gitattributes", "weight.config"),
    ],
)
def test_each_file_has_the_type_of_its_kind(path: str, kind: str) -> None:
    assert media_type_of(path) == f"application/vnd.cncf.model.{kind}.v1.raw"


def test_a_manifest_is_read_back_as_the_same_files() -> None:
    made = pack(
        FILES, ModelFacts("team/model", "1.2.3", ORIGIN, "mit", {"model_type": "glm", "torch_dtype": "bfloat16"})
    )
    body = render(made.manifest)
    read = parse(body, made.manifest.media_type, "here")
    files, unnamed = files_of(read, "team/model", "here")  # type: ignore[arg-type]
    assert [(file.path, file.size, file.digest) for file in files] == [
        ("config.json", 2, B),
        ("model.safetensors", 9, A),
    ]
    assert unnamed == ()


def test_what_is_told_of_a_model() -> None:
    made = pack(
        FILES, ModelFacts("team/model", "1.2.3", ORIGIN, "mit", {"model_type": "glm", "torch_dtype": "bfloat16"})
    )
    config = json.loads(made.config)
    assert config["descriptor"] == {
        "name": "team/model",
        "version": "1.2.3",
        "licenses": ["mit"],
        "family": "glm",
        "sourceURL": "https://huggingface.co/org/name",
        "revision": "d" * 40,
    }
    assert config["config"] == {"precision": "bfloat16", "format": "safetensors"}
    assert config["modelfs"] == {"type": "layers", "diffIds": [str(B), str(A)]}
    manifest = made.manifest
    assert manifest.annotations["org.opencontainers.image.source"] == "https://huggingface.co/org/name"
    assert manifest.annotations["org.opencontainers.image.revision"] == "d" * 40
    assert manifest.annotations["org.opencontainers.image.licenses"] == "mit"
    assert manifest.layers[0].annotations["glm-aria.hub.digest"] == f"git-sha1:{'c' * 40}"


def test_the_same_files_are_the_same_digest_in_any_order() -> None:
    facts = ModelFacts("team/model", "1.2.3")
    assert render(pack(FILES, facts).manifest) == render(pack(FILES[::-1], facts).manifest)
    assert render(pack(FILES, facts).manifest) != render(pack(FILES, ModelFacts("team/model", "1.2.4")).manifest)
