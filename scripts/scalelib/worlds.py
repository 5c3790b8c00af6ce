"""The worlds that are measured: a repository of n files, a list of n models, a cache of n repositories."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_HF_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One command to measure, the name of its curve, who runs it, and the largest n at which it is run."""

    curve: str
    argv: tuple[str, ...]
    peer: str = "glm-aria"
    most: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Scaled:
    """A world of n `items`, at each of `sizes`. `model` is the argument of `python -m tests.hub`, if it needs one.

    With `others`, so many repositories of other models, which were verified once, are in the cache before it begins.
    `REPO` and `LIST` in the commands of `steps` stand for the name of the repository and the file of the list.
    """

    name: str
    items: str
    sizes: tuple[int, ...]
    steps: tuple[Step, ...]
    model: str = ""
    others: bool = False


WORLDS = (
    Scaled(
        "files",
        "files of 1 KB in one repository",
        (1_000, 3_000, 10_000, 30_000, 100_000),
        (
            Step("plan", ("glm-aria", "plan", "REPO")),
            Step("pull", ("glm-aria", "pull", "REPO")),
            Step("pull again", ("glm-aria", "pull", "REPO")),
            Step("verify --fast", ("glm-aria", "verify", "--fast")),
            Step("cache rm", ("glm-aria", "cache", "rm", "REPO", "--yes")),
            Step("plan", ("hf", "download", "REPO", "--dry-run"), "hf", _HF_MOST),
            Step("pull", ("hf", "download", "REPO"), "hf", _HF_MOST),
            Step("pull again", ("hf", "download", "REPO"), "hf", _HF_MOST),
        ),
        model="small:{n}",
    ),
    Scaled(
        "models",
        "models of three files in a list, beside as many others in the cache",
        (200, 600, 2_000),
        (
            Step("plan -f", ("glm-aria", "plan", "-f", "LIST")),
            Step("pull -f", ("glm-aria", "pull", "-f", "LIST")),
            Step("pull -f again", ("glm-aria", "pull", "-f", "LIST")),
        ),
        model="models:{n}",
        others=True,
    ),
    Scaled(
        "repos",
        "repositories of three files in the cache",
        (300, 1_000, 3_000, 10_000),
        (
            Step("cache ls", ("glm-aria", "cache", "ls")),
            Step("cache ls", ("hf", "cache", "ls"), "hf"),
            Step("cache du", ("glm-aria", "cache", "du")),
            Step("cache gc", ("glm-aria", "cache", "gc")),
            Step("cache gc", ("hf", "cache", "prune", "--dry-run"), "hf"),
            Step("verify --fast", ("glm-aria", "verify", "--fast")),
        ),
        others=True,
    ),
)


def fill(cache_dir: Path, repos: int) -> None:
    """Write `repos` models of three small files each as hf leaves them: blobs, links of one revision, and its ref."""
    for number in range(repos):
        name = f"others/model-{number:05d}"
        folder = cache_dir / f"models--{name.replace('/', '--')}"
        commit = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        blobs, snapshot, refs = folder / "blobs", folder / "snapshots" / commit, folder / "refs"
        for made in (blobs, snapshot, refs):
            made.mkdir(parents=True)
        (refs / "main").write_text(commit)
        for index in range(3):
            data = f'{{"of": "{name}", "file": {index}}}\n'.encode()
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            (blobs / blob).write_bytes(data)
            (snapshot / f"file-{index}.json").symlink_to(f"../../blobs/{blob}")
