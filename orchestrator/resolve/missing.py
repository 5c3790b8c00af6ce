"""Names that a user gave and a listing lacks: of files, quantisations, variants; told with those that there are."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence, Set
from itertools import islice

from orchestrator.core.files import RepoTree
from orchestrator.core.refs import as_word
from orchestrator.core.text import printable
from orchestrator.errors import FileAbsentError, NotFoundError
from orchestrator.lists.quantizations import models_in, quantized
from orchestrator.lists.request import Item
from orchestrator.lists.variants import not_of_variant, variants_in

_MOST_NAMED = 40


def refuse_missing(item: Item, tree: RepoTree) -> None:
    """Raise NotFoundError for a file, a quantisation or a variant that an item names and a listing lacks."""
    paths = tuple(file.path for file in tree.files)
    _refuse_no_file(item, set(paths))
    if item.quantization:
        _refuse_no_quantization(item, paths)
    if item.variant and not_of_variant(paths, item.variant) is None:
        known = variants_in(paths)
        raise NotFoundError(
            f"{item.ref} holds no weights of the variant {item.variant}; nothing was fetched",
            hint=f"it has {_some(known)}" if known else "it has none: pull it without --variant",
        )


def _refuse_no_file(item: Item, paths: Set[str]) -> None:
    """Refuse a file that was asked for by name and is not there, as hf does."""
    for path in item.files:
        if path not in paths:
            close = difflib.get_close_matches(path, paths, 1)
            # Last what is to be pasted: nothing may stand behind it.
            hint = f"did you mean {close[0]!r}?" if close else f"see its files with: glm-aria plan {as_word(item.ref)}"
            if "/" not in path:
                hint = f"for a model of that name: hf://{path}; {hint}"
            raise FileAbsentError(f"{item.ref} holds no file {path!r}; nothing was fetched", hint=hint, file=path)


def _refuse_no_quantization(item: Item, paths: Sequence[str]) -> None:
    """Refuse a quantisation that is not there, or that several models have."""
    found, known = quantized(paths, item.quantization), models_in(paths)
    if len(found) == 1:
        return
    if found:
        raise NotFoundError(
            f"{item.ref} holds {len(found)} models in {item.quantization}: {_some(model.stem for model in found)}",
            hint=f"name the files of one: glm-aria pull {as_word(item.ref)} {shlex.quote(found[0].stem + '*')}",
        )
    if not known:
        raise NotFoundError(
            f"{item.ref} holds no GGUF file, so no quantisation {item.quantization}; nothing was fetched",
            hint=f"see its files with: glm-aria plan {as_word(item.ref)}",
        )
    raise NotFoundError(
        f"{item.ref} holds no quantisation {item.quantization}; nothing was fetched",
        hint=f"it has {_some(dict.fromkeys(model.label for model in known))}",
    )


def _some(names: Iterable[str]) -> str:
    """The first of the names of a repo, for one line."""
    first = [printable(name) for name in islice(names, _MOST_NAMED + 1)]
    return ", ".join(first[:_MOST_NAMED]) + (", …" if len(first) > _MOST_NAMED else "")
