"""Another user of this machine, who may try anything that a user may."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine.conditions import Condition, as_user
from tests.machine.preloaded import close_streams

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class OtherUser:
    """Has processes with a real UID of their own, and `folder`, a home that everybody may look into."""

    uid: int
    folder: Path
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def condition(self) -> Condition:
        """Under which a command is run as this user, at home here."""
        return as_user(self.uid, HOME=str(self.folder))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program as this user, with pipes at its three streams."""
        process = subprocess.Popen(
            [*as_user(self.uid).under, *words],
            cwd=self.folder,
            env={"PATH": _PATH, "HOME": str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def start_python(self, code: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a Python program as this user; `arguments` are its `sys.argv[1:]`."""
        return self.start(sys.executable, "-c", code, *map(str, arguments))

    def run(self, *words: str, timeout_s: float = 30) -> str:
        """Run a program as this user; its output. It must end well."""
        return self._output(self.start(*words), words, timeout_s)

    def python(self, code: str, *arguments: str | Path, timeout_s: float = 30) -> str:
        """Run a Python program as this user; its output. It must end well."""
        return self._output(self.start_python(code, *arguments), (code,), timeout_s)

    def end(self) -> None:
        """End what was started and still runs, and close the streams that no test read."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            close_streams(process)

    @staticmethod
    def _output(process: subprocess.Popen[str], words: Sequence[str], timeout_s: float) -> str:
        out, _ = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, f"{words} -> {process.returncode}\n{out}"
        return out
