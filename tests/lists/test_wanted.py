"""Which words of a command are models, and which are files of them."""

from __future__ import annotations

import pytest

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, literal
from orchestrator.errors import UsageError
from orchestrator.lists.wanted import Wanted, group


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("org/a", [Wanted("org/a")]),
        ("org/a config.json", [Wanted("org/a", ("config.json",))]),
        ("org/a LICENSE README.md", [Wanted("org/a", ("LICENSE", "README.md"))]),
        ("org/a org/b", [Wanted("org/a"), Wanted("org/b")]),
        ("org/a datasets/org/b", [Wanted("org/a"), Wanted("datasets/org/b")]),
        ("org/a org/b@v1.json", [Wanted("org/a"), Wanted("org/b@v1.json")]),
        ("org/a ms://org/b.json", [Wanted("org/a"), Wanted("ms://org/b.json")]),
        ("gpt2 bert", [Wanted("gpt2", ("bert",))]),
        ("gpt2 hf://bert", [Wanted("gpt2"), Wanted("hf://bert")]),
        ("gpt2 bert@main", [Wanted("gpt2"), Wanted("bert@main")]),
        ("org/a sub/x.json", [Wanted("org/a", ("sub/x.json",), ("sub/x.json",))]),
        ("org/a ggerganov/whisper.cpp", [Wanted("org/a"), Wanted("ggerganov/whisper.cpp")]),
        ("org/a a/b/c", [Wanted("org/a", ("a/b/c",))]),
        ("org/a datasets/org/x.json", [Wanted("org/a", ("datasets/org/x.json",), ("datasets/org/x.json",))]),
        ("org/a *.json sub/*", [Wanted("org/a", ("*.json", "sub/*"))]),
        ("org/a x.json org/b y.json", [Wanted("org/a", ("x.json",)), Wanted("org/b", ("y.json",))]),
        ("org/a org//b", [Wanted("org/a"), Wanted("org//b")]),
        ("hf://config.json", [Wanted("hf://config.json")]),
        ("", []),
    ],
)
def test_words_are_grouped_into_models_and_files(words: str, found: list[Wanted]) -> None:
    assert list(group(words.split())) == found


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("./config.json", "write 'config.json'"),
        ("./sub/*", "write 'sub/*'"),
        ("/config.json", "write 'config.json'"),
        ("../x", "as the repo lists it"),
        (".", "--local-dir DIR"),
        ("", "as the repo lists it"),
    ],
)
def test_a_path_as_shells_write_it_is_told(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match="neither a model nor a path in org/a") as told:
        group(["org/a", word])
    assert hint in (told.value.hint or "")


def test_a_path_is_no_glob() -> None:
    files = [
        RepoFile(path, 1, Digest(Algorithm.SHA256, "a" * 64), True, None)
        for path in ("a[1].json", "a1.json", "a2.json")
    ]
    tree = RepoTree("c" * 40, tuple(files))
    assert [file.path for file in tree.select((literal("a[1].json"),)).files] == ["a[1].json"]
    assert [file.path for file in tree.select((literal("a?.json"),)).files] == []
    assert Wanted("o/a", ("x[1].json", "y")).paths == ("y",)


@pytest.mark.parametrize("word", ["config.json", "model.safetensors"])
def test_a_file_without_a_model_is_told(word: str) -> None:
    with pytest.raises(UsageError, match="is a file name") as caught:
        group([word])
    assert f"ORG/NAME {word}" in str(caught.value.hint)
    assert f"include={word}" in str(caught.value.hint)
    assert group([f"hf://{word}"]) == (Wanted(f"hf://{word}"),)
