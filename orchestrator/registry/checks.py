"""Checks of a version before an alias moves to it: the rules, their file, and what comes out. No I/O.

[[gate]]
models = "team/*"                     # namespaces as tokens have them; without it all models
aliases = ["prod", "canary-*"]        # without it all aliases
config_keys = ["architectures", "model_type"]
tokenizer = "unchanged"               # the same tokenizer files as what the alias stands for
formats = "safe"                      # no file that runs code when it is loaded
max_size = "40 GB"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from orchestrator.core.refs import RepoId
from orchestrator.core.sizes import format_size, parse_size
from orchestrator.errors import UsageError
from orchestrator.lists.toml import parse_toml
from orchestrator.registry.contents import VersionContents
from orchestrator.rights import EVERYWHERE, check_patterns, matches

TOKENIZER = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model"),
)
"""Files that decide which tokens a text becomes."""
UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras")
"""Endings of files that are or may hold a pickle, or a layer with code: who loads them runs what their author wrote."""
_SHOWN = 5


class Verdict(StrEnum):
    """The verdict of a rule on a version. SKIPPED: there is nothing to compare it with."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A rule, its verdict, and what was found."""

    rule: str
    verdict: Verdict
    found: str


@dataclass(frozen=True, slots=True)
class AliasGate:
    """Rules for some aliases of some models."""

    models: tuple[str, ...] = EVERYWHERE
    aliases: tuple[str, ...] = ("*",)
    config_keys: tuple[str, ...] = ()
    same_tokenizer: bool = False
    safe_formats: bool = False
    max_size: int | None = None

    def is_before(self, model: RepoId, alias: str) -> bool:
        """True when the alias of this model moves only through this gate."""
        return matches(self.models, model) and any(fnmatchcase(alias, pattern) for pattern in self.aliases)

    def check(self, version: VersionContents, present: VersionContents | None) -> tuple[CheckResult, ...]:
        """Judge a version; `present` is what the alias stands for."""
        results = []
        if self.config_keys:
            results.append(_config_keys(self.config_keys, version))
        if self.same_tokenizer:
            results.append(_tokenizer(version, present))
        if self.safe_formats:
            results.append(_formats(version))
        if self.max_size is not None:
            is_small = version.size <= self.max_size
            found = f"{format_size(version.size)}, and at most {format_size(self.max_size)} are allowed"
            results.append(CheckResult("max_size", Verdict.PASSED if is_small else Verdict.FAILED, found))
        return tuple(results)


def _config_keys(keys: Sequence[str], version: VersionContents) -> CheckResult:
    missing = [key for key in keys if not _has(version.config or {}, key)]
    if version.config is None:
        return CheckResult("config_keys", Verdict.FAILED, "there is no config.json that is a JSON object")
    if missing:
        return CheckResult("config_keys", Verdict.FAILED, f"config.json lacks {', '.join(missing)}")
    return CheckResult("config_keys", Verdict.PASSED, f"config.json has {', '.join(keys)}")


def _has(config: Mapping[str, Any], key: str) -> bool:
    """True where a key such as `rope_scaling.factor` is there."""
    found: object = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def _tokenizer(version: VersionContents, present: VersionContents | None) -> CheckResult:
    if present is None:
        return CheckResult("tokenizer", Verdict.SKIPPED, "the alias stands for nothing yet")
    old, new = ({file.path: file.digest for file in one.files} for one in (present, version))
    changed = [name for name in TOKENIZER if old.get(name) != new.get(name)]
    if changed:
        return CheckResult("tokenizer", Verdict.FAILED, f"{', '.join(changed)} changed")
    return CheckResult("tokenizer", Verdict.PASSED, "the same as before")


def _formats(version: VersionContents) -> CheckResult:
    unsafe = [file.path for file in version.files if file.path.lower().endswith(UNSAFE)]
    if not unsafe:
        return CheckResult("formats", Verdict.PASSED, "no file runs code when it is loaded")
    more = f" and {len(unsafe) - _SHOWN} more" if len(unsafe) > _SHOWN else ""
    return CheckResult("formats", Verdict.FAILED, f"{', '.join(unsafe[:_SHOWN])}{more} may run code when loaded")


# -- the file of rules


def parse_gates(text: str, name: str) -> tuple[AliasGate, ...]:
    """Read a file of rules; `name` is put in errors. Raises UsageError."""
    try:
        data = parse_toml(text)
        tables = data.pop("gate", [])
        if data or not isinstance(tables, list):
            raise ValueError(f"it has [[gate]] tables only, and not {', '.join(data) or 'one table of that name'}")
        return tuple(map(_gate, tables))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{name}: {error}", hint="see the rules in the guide of the registry") from error


def _gate(table: object) -> AliasGate:
    if not isinstance(table, dict):
        raise TypeError(f"{table!r} is no table of rules: begin each with [[gate]]")
    words = dict(table)
    models, aliases = _texts(words.pop("models", EVERYWHERE)), _texts(words.pop("aliases", ("*",)))
    check_patterns(models)
    tokenizer, formats = words.pop("tokenizer", None), words.pop("formats", None)
    if tokenizer not in (None, "unchanged") or formats not in (None, "safe"):
        raise ValueError('tokenizer can be "unchanged", and formats "safe"')
    most, keys = words.pop("max_size", None), words.pop("config_keys", None)
    if words:
        raise ValueError(f"{', '.join(words)} is no rule of a gate")
    if tokenizer is formats is most is keys is None:
        raise ValueError("a gate without a rule lets everything through")
    size, wanted = None if most is None else _size(most), () if keys is None else _texts(keys)
    return AliasGate(models, aliases, wanted, tokenizer is not None, formats is not None, size)


def _size(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no size such as 40 GB, and no number of bytes")
    size = parse_size(value) if isinstance(value, str) else value
    if not 0 < size < 1 << 63:
        raise ValueError(f"max_size is {value!r}, and no version has such a size")
    return size


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (value,)
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{value!r} is no text, and no list of texts")
    return tuple(value)
