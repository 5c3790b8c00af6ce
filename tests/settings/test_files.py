"""Settings files that somebody else may have written, and what they must not decide."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import COMMANDS, GROUPS, cli, main
from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.trust import Policy
from orchestrator.disk.access import others_who_may_read
from orchestrator.errors import ConfigError
from orchestrator.settings import Settings, load, values
from orchestrator.settings.files import read_own_file
from orchestrator.settings.table import KEYS, PERSONAL, Caution
from tests.machine.fixtures import open_place, other_user  # noqa: F401 - fixtures
from tests.machine.users import OtherUser

Load = Callable[..., Settings]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
SLOW = "[transfer]\nmax_speed = '1K'\n"
OTHER = 4711


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory."""
    folder = tmp_path / "work"
    folder.mkdir(mode=0o755)
    return folder


def loaded(folder: Path, mine: Path | None = None, named: Path | None = None, **environ: Any) -> Settings:
    return load(environ={"HF_HOME": "/h"} | environ, folder=folder, personal=mine or folder / "none", named=named)


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def ignored(settings: Settings) -> str:
    (caution,) = settings.warnings
    assert caution.code == "settings-ignored"
    assert settings.max_speed is None
    return caution.message


# -- what the working directory's file must not decide


@pytest.mark.parametrize(
    "text",
    [
        "[trust]\nroot = 'http://127.0.0.1:34745'",
        "[trust]\nroot_proxy = 'http://evil.example:1'",
        "[aliases]\n'org/tiny' = 'evil/tiny'",
        "[cache]\ndir = 'models'",
        "[cache]\ndir = '/tmp/leak/$HF_TOKEN/hub'",
        "[trust]\ntoken_file = '$HOME/x'",
        "[tls]\nca_bundle = '$HOME/x'",
    ],
)
def test_it_is_refused_and_ones_own_or_a_named_one_may(here: Path, text: str, tmp_path: Path) -> None:
    file = write(here / "glm-aria.toml", text)
    with pytest.raises(ConfigError, match=r"glm-aria\.toml:\S+: a working directory's file must not decide") as caught:
        loaded(here, HF_TOKEN="hf_canary")
    assert "--config" in str(caught.value.hint)
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    if "$" not in text:
        assert loaded(here, named=file) == loaded(tmp_path, mine=file, named=file)


def test_what_only_repeats_what_holds_without_it_decides_nothing(here: Path, tmp_path: Path) -> None:
    write(here / "glm-aria.toml", "[trust]\nroot = 'https://huggingface.co'\n")
    assert loaded(here).root.url == "https://huggingface.co"
    mine = write(tmp_path / "mine.toml", "[trust]\nroot = 'https://own.example'\n")
    with pytest.raises(ConfigError, match="which sites are trusted"):
        loaded(here, mine)


def test_no_key_of_that_file_is_a_path(tmp_path: Path) -> None:
    """Paths expand variables. So a new one is refused there until somebody has thought about it."""
    paths = {key.toml for key in KEYS.values() if key.toml and key.read in (values.path, values.certificates)}
    assert paths <= PERSONAL.keys()
    assert PERSONAL.keys() <= {key.toml for key in KEYS.values()}


def test_its_mirrors_carry_bytes_and_are_not_heard(here: Path, tmp_path: Path) -> None:
    text = "[[mirror]]\nurl = 'https://evil.example'\n[[mirror]]\nurl = 'https://hf-mirror.com'\n"
    text += "[[mirror]]\nkind = 'modelscope'\nurl = 'https://evil.example'\n[[mirror]]\nurl = 'https://lan.example'\n"
    file = write(here / "glm-aria.toml", text)
    mine = write(tmp_path / "mine.toml", "[[mirror]]\nurl = 'https://lan.example'\n")
    assert [(m.host, m.is_believed) for m in loaded(here).mirrors] == [
        ("evil.example", False),
        ("hf-mirror.com", True),
        ("evil.example", False),
        ("lan.example", False),
    ]
    assert [m.is_believed for m in loaded(here, mine).mirrors] == [False, False, False, True]
    assert all(m.is_believed for m in loaded(here, named=file).mirrors)
    flagged = load({"mirrors": ("https://evil.example",)}, environ={"HF_HOME": "/h"}, folder=here, personal=mine)
    assert flagged.mirrors[0].is_believed, "the user's own word"
    private = loaded(here, GLM_ARIA_ROOT="https://own.example")
    assert not any(m.is_believed for m in private.mirrors), "with such a root the usual mirrors are none"


def test_ms_refs_are_not_resolved_by_its_mirrors(here: Path) -> None:
    from orchestrator.app.compose import sources_of

    write(here / "glm-aria.toml", "[[mirror]]\nkind = 'modelscope'\nurl = 'https://evil.example'\n")
    first, *others = sources_of(loaded(here), MODELSCOPE)
    assert first.host == "modelscope.cn"
    assert [source.host for source in others] == ["evil.example"]


@pytest.mark.parametrize("words", [["env"], ["render", "gitconfig"], ["render", "nginx-stream.conf"]])
def test_nothing_is_made_from_its_mirrors_that_other_programs_believe(
    words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "glm-aria.toml", "[[mirror]]\nurl = 'http://evil.example:8000'\n")
    monkeypatch.chdir(here)
    main(words)
    assert "evil" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[transfer]\nproxy = 'http://evil.example:1'", "[dns]\nresolvers = ['1.1.1.1']"])
def test_it_does_not_choose_the_way_to_a_root_without_tls(here: Path, text: str) -> None:
    file = write(here / "glm-aria.toml", text)
    assert loaded(here).root.host == "huggingface.co"
    assert loaded(here, GLM_ARIA_ROOT="http://127.0.0.1:1").root.netloc == "127.0.0.1:1"
    with pytest.raises(ConfigError, match=r"http://10\.0\.0\.5 is plain http"):
        loaded(here, GLM_ARIA_ROOT="http://10.0.0.5")
    with pytest.raises(ConfigError, match=r"http://10\.0\.0\.5 is plain http"):
        loaded(here, GLM_ARIA_MIRRORS="http://10.0.0.5")
    assert loaded(here, named=file, GLM_ARIA_ROOT="http://10.0.0.5").root.host == "10.0.0.5"


# -- whose it is


@needs_root
@pytest.mark.parametrize("kind", ["file", "link", "fifo", "folder", "unreadable"])
def test_what_another_user_put_there_is_not_even_opened(here: Path, kind: str, tmp_path: Path) -> None:
    path = here / "glm-aria.toml"
    if kind == "link":
        path.symlink_to(write(tmp_path / "private", "[transfer]\nmax_speed = '1K'\nsecret-canary"))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        write(path, SLOW, 0 if kind == "unreadable" else 0o644)
    os.lchown(path, OTHER, OTHER)
    message = ignored(loaded(here))
    assert f"uid {OTHER}" in message
    assert "--config" in message
    assert "canary" not in message


@needs_root
def test_a_link_of_ones_own_to_a_file_of_others_is_not_believed(here: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "theirs", SLOW)
    os.chown(file, OTHER, OTHER)
    (here / "glm-aria.toml").symlink_to(file)
    assert f"uid {OTHER}" in ignored(loaded(here))
    mine = write(tmp_path / "mine", SLOW)
    (here / "glm-aria.toml").unlink()
    (here / "glm-aria.toml").symlink_to(mine)
    assert loaded(here).max_speed == 1024


@needs_root
def test_root_and_the_user_are_believed(open_place: Path, other_user: OtherUser) -> None:  # noqa: F811
    """In a process of another user: a file of root, the own one, and one of a third."""
    file = write(open_place / "glm-aria.toml", SLOW)
    code = (
        f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from orchestrator.settings import load\n"
        "found = load(environ={'HF_HOME': '/h'}, folder=pathlib.Path(sys.argv[1]), personal=pathlib.Path('/none'))\n"
        "print(found.max_speed, [w.code for w in found.warnings])"
    )

    def seen() -> str:
        return other_user.python(code, open_place).strip()

    assert seen() == "1024 []"
    os.chown(file, other_user.uid, other_user.uid)
    assert seen() == "1024 []"
    os.chown(file, other_user.uid + 1, other_user.uid)
    assert seen() == "None ['settings-ignored']"


def test_one_that_everybody_may_write_is_not_believed(here: Path) -> None:
    write(here / "glm-aria.toml", SLOW, 0o646)
    assert "every user may write to it" in ignored(loaded(here))
    assert loaded(here, named=here / "glm-aria.toml").max_speed == 1024


# -- one that came with a model


def test_a_file_of_a_model_is_not_believed(here: Path) -> None:
    write(here / "glm-aria.toml", SLOW)
    assert loaded(here).max_speed == 1024
    notes = here / ".cache/huggingface/download"
    notes.mkdir(parents=True)
    (notes / "glm-aria.toml.metadata").write_text("commit\netag\n1\n")
    assert "a file of a model" in ignored(loaded(here))


def test_nor_is_one_in_a_snapshot(tmp_path: Path) -> None:
    repo = tmp_path / "hub" / "models--org--name"
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    write(repo / "blobs" / "b", SLOW)
    (snapshot / "glm-aria.toml").symlink_to("../../blobs/b")
    assert "a file of a model" in ignored(loaded(snapshot))
    (snapshot / "glm-aria.toml").unlink()
    write(snapshot / "glm-aria.toml", SLOW)
    assert "a file of a model" in ignored(loaded(snapshot)), "a cache without symlinks"
    (tmp_path / "link").symlink_to(snapshot)
    assert "a file of a model" in ignored(loaded(tmp_path / "link"))


@pytest.mark.parametrize("name", [".glm-aria/metadata.json", "metadata.json"])
def test_nor_is_one_in_a_project_folder(here: Path, name: str) -> None:
    write(here / "glm-aria.toml", SLOW)
    (here / name).parent.mkdir(exist_ok=True)
    write(here / name, json.dumps({"schema": "glm-aria-folder/1", "files": {"config.json": {}}}))
    assert loaded(here).max_speed == 1024
    write(here / name, json.dumps({"schema": "glm-aria-folder/1", "files": {"glm-aria.toml": {}}}))
    assert "a file of a model" in ignored(loaded(here))


# -- --config


def test_config_stands_before_or_behind_the_command(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "glm-aria.toml", "[transfer]\nmax_speed = '1K'\njobs = 3\n")
    file = write(tmp_path / "named.toml", "[trust]\nroot = 'https://own.example'\n[cache]\ndir = '$HF_HOME/x'\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HF_HOME", "/h")
    for words in (["--config", str(file), "config", "show"], ["config", "show", "--config", str(file)]):
        assert main([*words, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["data"]["settings"]
        assert found["root"]["value"]["url"] == "https://own.example"
        assert found["root"]["origin"] == f"file {file}:trust.root"
        assert found["max_speed"]["value"] is None, "it takes the place of ./glm-aria.toml"
        assert found["jobs"]["value"] is None
        assert found["token_hosts"]["value"] == ["own.example"], "as from the user's own file"
    for missing in ("none.toml", "none/x"):
        for words in (["config", "show"], ["daemon", "status"], ["daemon", "stop"], ["render"], ["config", "path"]):
            capsys.readouterr()
            assert main(["--config", missing, *words]) == 78, words
            assert f"--config {missing}" in capsys.readouterr().err
        assert main(["config", "show", "--config", missing]) == 78
    assert main(["config", "show", "--config", "."]) == 78


def test_the_users_own_file_still_counts_below_it(here: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.toml", "[trust]\nroot = 'https://u'\npolicy = 'root'\n", 0o600)
    named = write(tmp_path / "named.toml", "[trust]\nroot = 'https://n'\n", 0o600)
    found = loaded(here, mine, named)
    assert (found.root.url, found.policy) == ("https://n", Policy.ROOT)
    with pytest.raises(ConfigError, match="--config"):
        loaded(here, mine, tmp_path / "none")


def test_every_command_that_reads_settings_takes_it() -> None:
    without = {"lock diff", "completion", "explain", "daemon stop", "daemon status", "config path", "registry logout"}
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        below = getattr(command, "commands", {}) if name in GROUPS else {"": command}
        for sub, found in below.items():
            whole = f"{name} {sub}".strip()
            takes = any("--config" in parameter.opts for parameter in found.params)
            assert takes is (whole not in without), whole


# -- secrets that others may read


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o622])
def test_a_secret_that_others_may_read_or_write_is_told(open_place: Path, here: Path, mode: int) -> None:  # noqa: F811
    secret = write(open_place / "secret", "topsecret", 0o600)
    token = write(open_place / "token", "hf_canary", 0o600)
    mine = write(open_place / "mine.toml", "[transfer]\nproxy = 'http://me:canary@p:1'\n", 0o600)
    environ: dict[str, Any] = {"GLM_ARIA_RPC_SECRET_FILE": str(secret), "GLM_ARIA_TOKEN_FILE": str(token)}
    assert loaded(here, mine, **environ).warnings == ()
    for path in (secret, token, mine):
        path.chmod(mode)
    found = loaded(here, mine, **environ).warnings
    assert [caution.code for caution in found] == ["secret-exposed"] * 3
    for path in (secret, token, mine):
        assert sum(str(path) in caution.message for caution in found) == 1
    assert not any("canary" in caution.message or "topsecret" in caution.message for caution in found)
    open_place.chmod(0o700)
    if not mode & 0o022:
        assert loaded(here, mine, **environ).warnings == (), "nobody reaches it"


def test_ones_own_file_without_a_secret_may_be_read_but_not_written_by_others(open_place: Path, here: Path) -> None:  # noqa: F811
    mine = write(open_place / "mine.toml", SLOW, 0o644)
    assert loaded(here, mine).warnings == ()
    mine.chmod(0o666)
    assert [caution.code for caution in loaded(here, mine).warnings] == ["settings-exposed"]
    assert others_who_may_read(mine) is not None


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_config_path_tells_what_is_read(
    here: Path, mode: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    found = write(here / "glm-aria.toml", SLOW, mode)
    main(["config", "path"])
    told = "not read, since every user may write to it" if mode == 0o666 else "read"
    assert f"{told}: {found}\n" in capsys.readouterr().err
    main(["--config", "/dev/null", "config", "path"])
    lines = capsys.readouterr().err
    assert "read: /dev/null\n" in lines
    assert str(found) not in lines


@needs_root
def test_the_file_of_another_user_is_not_to_be_chmodded(open_place: Path, here: Path) -> None:  # noqa: F811
    mine = write(open_place / "mine.toml", SLOW, 0o600)
    os.chown(mine, OTHER, -1)
    (caution,) = loaded(here, mine).warnings
    assert caution.message.endswith(": name a copy of your own")


def test_the_null_device_is_a_file_without_settings(here: Path) -> None:
    cautions: list[Caution] = []
    found = read_own_file(Path(os.devnull), cautions, is_named=True)
    assert found is not None
    assert (found.keys, cautions) == ({}, [])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://nas.lan:6800/jsonrpc", True),
        ("http://127.0.0.1.evil.example/jsonrpc", True),
        ("https://nas.lan:6800/jsonrpc", False),
        ("http://127.0.0.1:6800/jsonrpc", False),
        ("http://LOCALHOST:6800/jsonrpc", False),
        ("http://[::1]:6800/jsonrpc", False),
    ],
)
def test_a_secret_over_plain_http_is_told(here: Path, tmp_path: Path, url: str, told: bool) -> None:
    secret = write(tmp_path / "secret", "topsecret", 0o600)
    found = loaded(here, GLM_ARIA_RPC=url, GLM_ARIA_RPC_SECRET_FILE=str(secret)).warnings
    assert [caution.code for caution in found] == (["plain-http"] if told else [])
    assert loaded(here, GLM_ARIA_RPC=url).warnings == (), "there is nothing to read"
