"""Lists that include lists."""

from __future__ import annotations

import pytest

from orchestrator.errors import UsageError
from orchestrator.lists.model_list import gather


class Files(dict[str, str]):
    def read(self, path: str) -> str:
        if path not in self:
            raise UsageError(f"the list {path} cannot be read: No such file or directory")
        return self[path]


def refs(files: Files, path: str = "l/all.txt") -> list[str]:
    return [f"{entry.ref.repo.name} {file}" for entry, file in gather(path, files.read).entries]


def test_includes_are_relative_to_the_list_that_names_them() -> None:
    files = Files(
        {
            "l/all.txt": "o/a\n@include 'sub/my b.toml'  # why\no/z\n",
            "l/sub/my b.toml": 'include = ["c.txt", "/etc/d.txt"]\n[[model]]\nref = "o/b"\n',
            "l/sub/c.txt": "o/c local-dir=x",
            "/etc/d.txt": "o/d",
        }
    )
    assert refs(files) == [
        "o/a l/all.txt",
        "o/c l/sub/c.txt",
        "o/d /etc/d.txt",
        "o/b l/sub/my b.toml",
        "o/z l/all.txt",
    ]
    assert gather("l/all.txt", files.read).files == ("l/all.txt", "l/sub/my b.toml", "l/sub/c.txt", "/etc/d.txt")


def test_a_list_that_is_included_twice_counts_once() -> None:
    files = Files({"l/all.txt": "@include b\n@include c\n", "l/b": "@include d", "l/c": "@include ./d", "l/d": "o/d"})
    assert refs(files) == ["o/d l/d"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"l/all.txt": "@include all.txt"}, "l/all.txt:1: all.txt includes this list again: l/all.txt -> l/all.txt"),
        ({"l/all.txt": "\n@include b", "l/b": "@include ../l/all.txt"}, "l/b:1: ../l/all.txt includes this list again"),
        ({"l/all.txt": "\n@include gone"}, "l/all.txt:2: the list l/gone cannot be read"),
        ({"l/all.txt": "@include b", "l/b": "o/x nonsense"}, "l/b:1: a word behind the REF is not an option of a list"),
        ({"l/all.txt": "@include"}, "l/all.txt:1: @include takes one file"),
        ({"l/all.txt": "@include a b"}, "l/all.txt:1: @include takes one file"),
        ({"l/all.txt": "@include b.toml", "l/b.toml": 'include = "c"'}, "l/b.toml: include must be a list of files"),
        (
            {"l/all.txt": "@include 0.txt"} | {f"l/{n}.txt": f"@include {n + 1}.txt" for n in range(40)},
            "too many lists",
        ),
    ],
)
def test_what_is_wrong_is_named(files: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        gather("l/all.txt", Files(files).read)
    assert message in caught.value.message
    assert caught.value.hint or "cannot be read" in message
