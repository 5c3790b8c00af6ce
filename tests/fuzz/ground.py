"""Where a fuzzed command runs: a home with one good model, a folder of others, and the rules."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine

FILES = {"config.json": b"{}", "sub/vocab.txt": b"words\n", "model.safetensors": generate(300_000, 3)}
REPO = Repo("model", "org/m", FILES)
SECONDS = 15.0
"""A run that takes longer hangs: each of these takes less than a second."""
MEMORY = 2 << 30
"""Bytes of address space: whoever reads an endless file into memory fails soon."""
SHORT, LONG = 12, 950
"""Cases of each test that runs a command: eleven tests are 10,450 in the long form."""
QUICK = 20
"""So many times as many are requests to a server, which take milliseconds."""


@dataclass
class Ground:
    """`fresh` makes `work` and `home` anew for each case; `outside` belongs to nobody's case."""

    folder: Path
    machine: Machine
    hub: LoopbackHub
    seed: int
    most: int
    cases: int = 0

    @classmethod
    def made(cls, folder: Path, hub: LoopbackHub, seed: int, most: int) -> Ground:
        """With the model of `hub` in its cache, and a lock file of it."""
        machine = Machine(folder / "machine", "hf_canary" + "0" * 20, root=hub.url)
        machine.pull("org/m", "--lock", str(machine.folder / "good.lock")).ended(0)
        made = cls(folder, machine, hub, seed, most)
        made.outside.mkdir()
        for name in (".bashrc", "config.json", "glm-aria.toml", "models.txt", ".git/config"):
            path = made.outside / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("theirs")
        shutil.copytree(machine.home, folder / "template", symlinks=True)
        return made

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def good_lock(self) -> str:
        return (self.machine.folder / "good.lock").read_text()

    def fresh(self) -> None:
        """Everything that a case may have changed, as it was."""
        machine = self.machine
        for path in (machine.home, machine.work, machine.runtime, machine.folder / "config"):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.folder / "template", machine.home, symlinks=True)
        for path in (machine.work, machine.runtime, machine.folder / "config" / "glm-aria"):
            path.mkdir(parents=True)
        machine.runtime.chmod(0o700)

    def holds(self, *words: str, **env: str) -> int:
        """Run the command. It must end, by itself, with an exit code of the contract, and change nothing outside."""
        before = picture(self.outside)
        # A root of the user's own has no mirrors by default: nothing leaves this machine.
        told = {"GLM_ARIA_ROOT": self.hub.url, "GLM_ARIA_ETAG_TIMEOUT": "2"} | env
        done = self.machine.run(*words, env=told, memory=MEMORY, timeout_s=SECONDS)
        self.machine.results.clear()
        self.machine.running.clear()
        code, text = done.code, done.out + done.err
        assert code >= 0, f"{words} ended by signal {-code}\n{text}"
        assert code not in (1, 70), f"{words} -> {code}\n{text}"
        assert picture(self.outside) == before, f"{words} wrote outside\n{text}"
        assert self.machine.token not in text
        return code

    def explore(
        self, cases: st.SearchStrategy[object], check: Callable[[object], None], *, is_fresh: bool = True
    ) -> None:
        """Run `check` on `most` cases, drawn from the seed, each on a ground that is as it was; without `is_fresh` on
        `QUICK` times as many."""

        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=self.most if is_fresh else QUICK * self.most,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def explored(case: object) -> None:
            if is_fresh:
                self.fresh()
            self.cases += 1
            check(case)

        explored()


def picture(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """Every name below `folder`, with its mode, its modification time in ns and its content."""
    found = []
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        found.append((str(path), facts.st_mode, facts.st_mtime_ns, content))
    return found


# -- what somebody may put into the place of a file --------------------------------------------------------------------

KINDS = ("fifo", "folder", "full folder", "link out", "dangling", "loop", "endless", "zero", "bytes", "socket", "none")


def plant(kind: str, path: Path, outside: Path, content: bytes = b"") -> None:
    """Put something of this kind where `path` is, whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "full folder": lambda: (path.mkdir(), (path / "x").write_bytes(b"x")),
        "link out": lambda: path.symlink_to(outside / "config.json"),
        "dangling": lambda: path.symlink_to(outside / "absent"),
        "loop": lambda: path.symlink_to(path.name),
        "endless": lambda: _sparse(path),
        "zero": lambda: path.symlink_to("/dev/zero"),
        "bytes": lambda: path.write_bytes(content),
        "socket": lambda: os.mknod(path, 0o600 | stat.S_IFSOCK),
        "none": lambda: None,
    }
    makers[kind]()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


def spoiled(good: str | bytes, words: Sequence[str]) -> st.SearchStrategy[bytes]:
    """`good`, or a part of it, with anything in it: bytes, words that mean something, or deep nesting."""
    text = good.encode() if isinstance(good, str) else good
    piece = st.one_of(
        st.binary(max_size=8),
        st.text(max_size=12).map(lambda value: value.encode("utf-8", "replace")),
        st.sampled_from([word.encode() for word in words]),
        st.sampled_from(
            [b"[" * 5000, b"{a=" * 3000, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"9" * 5000, b"\r\n", b"'''"]
        ),
    )
    # Small wounds keep the rest readable, so that what comes after a parser is met as well.
    cut = st.tuples(st.integers(0, len(text)), st.integers(0, 24), piece)
    return st.lists(cut, max_size=4).map(lambda cuts: _apply(text, cuts))


def _apply(text: bytes, cuts: Sequence[tuple[int, int, bytes]]) -> bytes:
    for start, length, piece in cuts:
        text = text[:start] + piece + text[start + length :]
    return text
