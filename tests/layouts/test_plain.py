"""The layouts that ship, and what a layout refuses."""

import pytest

from orchestrator import templating
from orchestrator.errors import UnsafeError
from orchestrator.layouts.plain import parse_layouts
from tests.layouts.models import model

LAYOUTS = parse_layouts(templating.read("layouts.toml"))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("model-00001-of-00002.safetensors", "checkpoints/model-00001-of-00002.safetensors"),
        ("model.safetensors.index.json", "checkpoints/model.safetensors.index.json"),
        ("onnx/model.onnx", "checkpoints/onnx/model.onnx"),
        ("config.json", "config/config.json"),
        ("metadata.json", "config/metadata.json"),
        ("code/model.py", "config/code/model.py"),
    ],
)
def test_a_project_has_weights_and_the_rest(path: str, place: str) -> None:
    assert LAYOUTS["project"].place(path) == place
    assert LAYOUTS["flat"].place(path) == path


@pytest.mark.parametrize("path", [".glm-aria/metadata.json", ".GLM-ARIA/Metadata.json", ".glm-aria/metadata.json/x"])
def test_no_file_lies_where_the_metadata_lie(path: str) -> None:
    with pytest.raises(UnsafeError):
        LAYOUTS["flat"].arrange(model({path: b"x"})).refuse_wrong({})
