"""Whether a process would write names in UTF-8, and what is done where it would not."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = (
    "import sys; from orchestrator.system import streams; streams.spell_all_names(); "
    "print(sys.getfilesystemencoding(), *map(ascii, sys.argv[1:]))"
)
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("flags", [(), ("-I",), ("-X", "utf8=0")])
def test_python_is_started_again_where_its_file_names_are_not_utf8(flags: tuple[str, ...]) -> None:
    """Once: where a flag forbids it the process goes on as it is. The arguments stay the same bytes."""
    code = f"import sys; sys.path[:0] = {sys.path!r}; {CODE}"
    words: list[str | bytes] = [sys.executable, *flags, "-c", code, b"\xc3\xbb\xff"]
    said = subprocess.run(words, env=ASCII, check=True, capture_output=True, timeout=30).stdout.decode()
    # -I leaves out the variables, and -X wins over them: then ASCII becomes UTF-8 by itself, or stays.
    assert said.split(" ", 1)[0] == ("ascii" if flags == ("-X", "utf8=0") else "utf-8")
    if flags != ("-X", "utf8=0"):
        assert "\\xfb\\udcff" in said


def test_in_a_locale_of_utf8_nothing_is_started_again() -> None:
    code = f"import os; os.execv = None; {CODE}"
    env = {"LC_ALL": "C.UTF-8", "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=30).stdout
    assert said.startswith(b"utf-8")
