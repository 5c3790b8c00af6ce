"""What holds for the arrangement of any layout: no place is outside the folder, ours, or that of two files."""

from __future__ import annotations

import pytest

from orchestrator.errors import UnsafeError
from orchestrator.layouts.interface import Arrangement, split_settings
from tests.layouts.models import model

DIGESTS = {item.file.path: item.file.digest for item in model({"a": b"1", "b": b"1", "c": b"2"}).files}


@pytest.mark.parametrize(
    "arrangement",
    [
        Arrangement("b.json", (("a", "../a"),)),
        Arrangement("b.json", (("a", "/a"),)),
        Arrangement("b.json", (("a", "b.json"),)),
        Arrangement("b.json", (("a", ".glm-aria/other.json"),)),
        Arrangement("b.json", (("a", "x"), ("c", "x"))),
        Arrangement("b.json", (("a", "x"),), beside=(("x", b"note"),)),
        Arrangement("b.json", (), beside=(("../note", b""),)),
        Arrangement("b.json", (), inside="../elsewhere"),
    ],
)
def test_a_wrong_place_is_refused(arrangement: Arrangement) -> None:
    with pytest.raises(UnsafeError):
        arrangement.refuse_wrong(DIGESTS)


def test_files_with_the_same_bytes_may_share_a_place() -> None:
    Arrangement("b.json", (("a", "x"), ("b", "x"))).refuse_wrong(DIGESTS)


def test_settings_of_glm_aria_stay_out_of_folders_of_programs() -> None:
    kept, left_out = split_settings(model({"a": b"", "GLM-aria.toml": b"", "sub/glm-aria.toml": b""}).files)
    assert [item.file.path for item in kept] == ["a"]
    assert [item.path for item in left_out] == ["GLM-aria.toml", "sub/glm-aria.toml"]
