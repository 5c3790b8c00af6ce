"""The words of `pull` and `plan`: models, each followed by its wanted files.

`hf download org/name config.json` fetches one file, so the same words mean the same here. A word behind a REF is a file
of it, unless it can only be another REF: `org/other`, `hf://name`, `name@revision`. What may be both, such as
`onnx/model.onnx`, is a file when it ends like one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.core.refs import parse_ref
from orchestrator.errors import UsageError
from orchestrator.lists.quantizations import split_quantization

_GLOB = re.compile(r"[*?\[]")
# How files of repos end. Not .cpp, .js and the like, which names of repos end with, too.
_ENDS_LIKE_A_FILE = re.compile(
    r"\.(?:arrow|bin|cfg|ckpt|csv|data|gguf|gz|h5|ini|ipynb|jinja|jpe?g|jsonl?|md|mlmodel|model|mp3|mp4|msgpack|np[yz]"
    r"|onnx|ot|parquet|pdf|pickle|pkl|png|proto|pth?|py|safetensors|sh|spm|tar|tflite|tiktoken|toml|tsv|txt|vocab|wav"
    r"|webp|xml|ya?ml|zip|zst)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A REF as it was written, and the files of it behind it: paths, and globs with `*`, `?` or `[`.

    No file: all of it. `unsure` are the files that could be REFs as well.
    """

    ref: str
    files: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are named, not described; each must be there."""
        return tuple(file for file in self.files if not _GLOB.search(file))


def group(words: Sequence[str]) -> tuple[Wanted, ...]:
    """The models and files that the words name, in order. Raises UsageError for a path that no repo holds, and a file
    without a model."""
    found: list[Wanted] = []
    for word in words:
        if found:
            _refuse_neither(word, found[-1].ref)
        else:
            _refuse_file(word)
        if not found or not _is_file(word):
            found.append(Wanted(word))
            continue
        last = found[-1]
        unsure = (*last.unsure, word) if _may_be_a_ref(word) else last.unsure
        found[-1] = replace(last, files=(*last.files, word), unsure=unsure)
    return tuple(found)


def _refuse_file(word: str) -> None:
    """Raise UsageError for a file that stands where a model has to: `-f LIST config.json`."""
    if "/" not in word and "@" not in word and _ends_like_a_file(word):
        raise UsageError(
            f"{word!r} is a file name without a model before it",
            hint=f"write the file after its model: ORG/NAME {word}; in a list: ORG/NAME include={word}; "
            f"for a model of that name: hf://{word}",
        )


def _refuse_neither(word: str, ref: str) -> None:
    """Raise UsageError for a path that no repo holds, such as `./config.json`, which a shell completes to."""
    parts = word.split("/")
    plain = "/".join(part for part in parts if part not in ("", "."))
    if parts[0] in ("", ".", ".."):
        way = repr(plain) if plain and ".." not in parts else "as the repo lists it, config.json"
        raise UsageError(
            f"{word!r} is neither a model nor a path in {ref}",
            hint=f"for a file of it, write {way}; for a target folder, --local-dir DIR",
        )


def _is_file(word: str) -> bool:
    if "://" in word:
        return False
    if _GLOB.search(word):
        return True
    if "/" not in word:
        return not ("@" in word and _is_ref(word))
    if _is_ref(word):
        return _ends_like_a_file(word) and "@" not in word
    # Neither: told as the REF that it is not, unless it is the path of a file.
    return all(part not in ("", ".", "..") for part in word.split("/")) and "@" not in word


def _ends_like_a_file(word: str) -> bool:
    return "." in word and _ENDS_LIKE_A_FILE.fullmatch(word[word.rfind(".") :]) is not None


def _may_be_a_ref(word: str) -> bool:
    return "/" in word and not _GLOB.search(word) and _is_ref(word)


def _is_ref(word: str) -> bool:
    try:
        parse_ref(split_quantization(word)[0])
    except UsageError:
        return False
    return True
