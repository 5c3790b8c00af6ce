"""Lists, lock files, settings and secret files that somebody else may have made: where they write, what they quote, and
files that are no files. Each of these ended in a hang, a bug (70) or somebody else's file once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.main import main
from orchestrator.cli.requests import Selection, items, written_by_others
from orchestrator.errors import UsageError
from orchestrator.lists.model_list import gather
from orchestrator.lists.request import Item
from tests.machine.preloaded import start

DEEP = "x = " + "[" * 5000
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of lists, and a folder beside it."""
    for name in ("work/lists", "other", "config/glm-aria"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "work"


def listed(text: str, *, allow_outside: bool = False, name: str = "lists/a.txt") -> tuple[Item, ...]:
    Path(name).write_text(text)
    return items((), (name,), Selection(allow_outside=allow_outside))


# -- where a list writes


@pytest.mark.parametrize(
    "folder",
    [
        "~/",
        "~/x",
        ".",
        "./",
        "sub/..",
        "..",
        "../x",
        "/tmp/x",
        "sub/../../x",
        ".config/autostart",
        "a/.git",
        "link",
        "link/x",
        "../lists",
    ],
)
@pytest.mark.parametrize("name", ["lists/a.txt", "lists/a.toml", "a.txt"])
def test_a_list_writes_below_its_own_folder(place: Path, folder: str, name: str) -> None:
    for below in (place, place / "lists"):
        (below / "link").symlink_to(place.parent / "other")
    text = (
        f'[[model]]\nref = "o/a"\nlocal_dir = "{folder}"\n' if name.endswith(".toml") else f"o/a local-dir={folder}\n"
    )
    with pytest.raises(UsageError) as caught:
        listed(text, name=name)
    where = f"{name}: model 1: " if name.endswith(".toml") else f"{name}:1: "
    assert caught.value.message.startswith(f"{where}local-dir must lie below the folder of the list")
    assert "--allow-outside" in str(caught.value.hint)
    assert listed(text, name=name, allow_outside=True)[0].local_dir is not None


def test_what_lies_below_is_fine(place: Path) -> None:
    (place / "lists" / "real").mkdir()
    (place / "lists" / "inner").symlink_to("real")
    for folder in ("plain", "a/b", "./plain", "real/../plain", "inner/x", str(place / "lists" / "whole")):
        assert listed(f"o/a local-dir={folder}\n")[0].local_dir is not None
    (place / "elsewhere").symlink_to(place / "lists")
    assert listed("o/a local-dir=plain\n", name="elsewhere/a.txt")[0].local_dir == place / "lists" / "plain"


def test_the_flag_is_the_users_own_word(place: Path) -> None:
    Path("lists/a.txt").write_text("o/a\n")
    chosen = Selection(local_dir="/tmp/x")
    assert items((), ("lists/a.txt",), chosen)[0].local_dir == Path("/tmp/x")


@pytest.mark.parametrize("words", [["pull", "-f"], ["plan", "-f"], ["watch"]])
def test_each_command_refuses_it(place: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("o/a local-dir=~/\n")
    assert main([*words, "a.txt"]) == 2
    assert "--allow-outside" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        r"o/a local-dir=C:\models\tiny",
        r"o/a include=sub\*.json",
        r"o/a 'local-dir=C:\models\tiny'",
        "o/a 'local-dir=C:/models'",
        r"o/a 'local-dir=\\server\share'",
    ],
)
def test_a_path_of_another_system_is_told(place: Path, text: str) -> None:
    for outside in (False, True):
        with pytest.raises(UsageError, match=r"lists/a\.txt:1: .*(backslash|Windows)"):
            listed(text, allow_outside=outside)
    assert listed(r"o/a local-dir=my\ folder   # C:\x" + "\n")[0].local_dir == place / "lists" / "my folder"
    assert listed(r"o/a include=a\"b include='x y' exclude=a\\b")[0].include == ('a"b', "x y")


@pytest.mark.parametrize("flag", ["--local-dir", "--cache-dir"])
def test_also_on_the_command_line(place: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (r"C:\models", "C:/models", r"\\server\share"):
        assert main(["pull", "o/a", flag, path]) == 2
        assert "Windows" in capsys.readouterr().err
    assert list(place.iterdir()) == [place / "lists"]


# -- what a list includes


@pytest.mark.parametrize("path", ["../other/x", "/etc/passwd", "sub/../../x", "link", "down/x"])
@pytest.mark.parametrize("form", ["@include {}\n", 'include = ["{}"]\n'])
def test_includes_stay_below_the_folder_of_the_list(place: Path, path: str, form: str) -> None:
    secret = place.parent / "other" / "x"
    secret.write_text("o/b\nwith-canary words\n")
    (place / "x").write_text("o/c\n")
    (place / "lists" / "link").symlink_to(secret)
    (place / "lists" / "down").symlink_to(secret.parent)
    name = "lists/a.toml" if form.startswith("include") else "lists/a.txt"
    with pytest.raises(UsageError) as caught:
        listed(form.format(path), name=name)
    assert "only files below its own folder" in caught.value.message
    assert "canary" not in caught.value.message
    with pytest.raises(UsageError) as caught:
        listed(form.format("link"), name=name, allow_outside=True)
    assert "lists/link:2: " in caught.value.message
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("b", "o/b\ncanary with words", "l/b:2: "),
        ("b", "o/b canary=1", "l/b:1: "),
        ("b", "canary//x", "l/b:1: "),
        ("b", "https://canary.example/x/y", "l/b:1: "),
        ("b", "ssh-rsa AAAAcanary me@host", "l/b:1: "),
        ("b.toml", "x = 1\ncanary here", "l/b.toml: not valid TOML in line 2"),
        ("b.toml", "canary = 1", "l/b.toml: "),
        ("b.toml", "[[model]]\nref = 'o/b'\ncanary = 1", "l/b.toml: model 1: "),
        ("b.toml", "[[model]]\nref = 'canary//b'", "l/b.toml: model 1: "),
        ("b.toml", DEEP, "l/b.toml: not valid TOML"),
    ],
)
def test_an_error_of_an_included_file_names_the_line_and_quotes_nothing(name: str, text: str, where: str) -> None:
    files = {"l/a": f"o/a\n@include {name}\n", f"l/{name}": text}
    with pytest.raises(UsageError) as caught:
        gather("l/a", files.__getitem__)
    assert caught.value.message.startswith(where)
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.__cause__ is None, "--verbose would show it"


# -- who may write a list that is watched


def test_who_may_write_a_list(place: Path) -> None:
    place.chmod(0o755)
    file = place / "a.txt"
    file.write_text("o/a\n")
    file.chmod(0o644)
    assert written_by_others([file]) is None
    file.chmod(0o666)
    assert "a.txt: every user may write" in str(written_by_others([file]))
    file.chmod(0o644)
    place.chmod(0o777)
    assert "every user may write" in str(written_by_others([file])), "who may exchange it in its folder"
    place.chmod(0o1777)
    assert written_by_others([file]) is None, "a sticky folder keeps it"


# -- files that are no files, and documents without a bottom


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _endless(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(8 << 30)


def _deep(path: Path) -> None:
    path.write_text(DEEP)


def _digits(path: Path) -> None:
    path.write_text("x = " + "1" * 5000)


ODD = [_fifo, _folder, _device, _endless]
READERS = [
    (["pull", "-f", "{}"], "a.toml", 2),
    (["plan", "-f", "{}"], "a.toml", 2),
    (["watch", "{}", "--once"], "a.toml", 2),
    (["pull", "-f", "top.txt"], "a.toml", 2),
    (["pull", "--locked", "{}"], "a.lock", 2),
    (["pull", "o/a", "--lock", "{}"], "a.lock", 2),
    (["lock", "diff", "{}", "{}"], "a.lock", 2),
    (["config", "show"], "glm-aria.toml", 78),
    (["config", "show"], "../config/glm-aria/config.toml", 78),
    (["config", "tune"], "../config/glm-aria/config.toml", 78),
    (["config", "show", "--config", "{}"], "named.toml", 78),
]
SECRETS = [
    (["pull", "o/a", "--token-file", "{}"], "token", 78),
    (["config", "show"], "../hf/token", 78),
]


@pytest.mark.parametrize("make", [*ODD, _deep, _digits])
@pytest.mark.parametrize(("words", "name", "code"), READERS, ids=[" ".join(row[0]) + row[1] for row in READERS])
def test_a_document_that_is_none(
    place: Path, make: Callable[[Path], None], words: list[str], name: str, code: int
) -> None:
    # A device that everybody may write to is not even opened.
    _ends(place, make, words, name, 0 if make is _device and name == "glm-aria.toml" else code)


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize(("words", "name", "code"), SECRETS)
def test_a_secret_that_is_none(
    place: Path, make: Callable[[Path], None], words: list[str], name: str, code: int
) -> None:
    (place.parent / "hf").mkdir()
    _ends(place, make, words, name, code)


def _ends(place: Path, make: Callable[[Path], None], words: list[str], name: str, code: int) -> None:
    (place / "top.txt").write_text("@include a.toml\n")
    make(place / name)
    # In a process of its own, which has too little memory to read an endless file, and is ended when it hangs.
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    running = start([word.format(name) for word in words], env, Path.cwd(), memory=2_000_000 << 10)
    try:
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.wait() == code, err
    assert "bug" not in err


@pytest.mark.parametrize("words", [["pull", "-f"], ["pull", "--locked"]])
def test_a_pipe_of_the_shell_is_read(place: Path, words: list[str]) -> None:
    """`-f <(command)`: a list without a folder of its own starts from the working directory."""
    script = f'exec "$0" -m orchestrator.cli.main {" ".join(words)} <(printf "%s\\n" "$1") --offline'
    for text, said in (("o//x", "o//x"), ("o/a local-dir=../x", "local-dir must lie below")):
        ran = subprocess.run(
            ["bash", "-c", script, sys.executable, text],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 2
        assert said in ran.stderr or "not valid TOML" in ran.stderr


def test_a_byte_order_mark_before_settings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (place / "glm-aria.toml", place.parent / "config" / "glm-aria" / "config.toml"):
        path.write_bytes(b"\xef\xbb\xbf[transfer]\nmax_speed = '20MB'\n")
        assert main(["config", "show"]) == 0
        assert "max_speed = 20.0 MB/s" in capsys.readouterr().out
        path.unlink()
