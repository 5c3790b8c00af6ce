"""The key of a fleet: made for this user alone, found where it should be, and never shown."""

import stat
from pathlib import Path

import pytest

from orchestrator.app.peers.keys import copying, fleet_keys, key_file, make_key, needed_keys
from orchestrator.errors import ConfigError, UsageError
from orchestrator.settings import Settings, load, user_file
from orchestrator.settings.secrets import without_secrets
from tests.machine.fixtures import open_place  # noqa: F401 - a fixture

CANARY = "canary-of-a-fleet-0123456789"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def settings(**environ: str) -> Settings:
    return load({}, environ=environ)


def test_a_machine_without_a_key_belongs_to_no_fleet() -> None:
    assert fleet_keys(settings()) is None
    with pytest.raises(ConfigError) as raised:
        needed_keys(settings())
    assert "glm-aria fleet key" in str(raised.value.hint)


def test_a_key_is_made_for_this_user_alone_and_found() -> None:
    file = make_key(settings())
    assert file == user_file().with_name("fleet.key") == key_file(settings())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (one,) = needed_keys(settings()).keys
    assert one.decode() == file.read_text().strip()


def test_a_key_is_replaced_only_when_that_is_said() -> None:
    file = make_key(settings())
    first = file.read_text()
    with pytest.raises(UsageError) as raised:
        make_key(settings())
    assert "--force" in str(raised.value.hint)
    assert file.read_text() == first
    make_key(settings(), replace=True)
    assert file.read_text() != first


def test_several_keys_are_lines_of_the_file() -> None:
    file = make_key(settings())
    new = file.read_text()
    file.write_text(f"{CANARY}\n{new}")
    assert needed_keys(settings()).keys == (CANARY.encode(), new.strip().encode())


def test_the_environment_wins_over_the_file() -> None:
    make_key(settings())
    assert needed_keys(settings(GLM_ARIA_FLEET_KEY=f" {CANARY}\n")).keys == (CANARY.encode(),)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    named = settings(GLM_ARIA_FLEET_KEY_FILE=str(tmp_path / "a b.key"))
    with pytest.raises(ConfigError) as raised:
        fleet_keys(named)
    assert "GLM_ARIA_FLEET_KEY_FILE" in raised.value.message
    assert make_key(named) == tmp_path / "a b.key"
    assert fleet_keys(named)
    assert "'" in copying(tmp_path / "a b.key")


def test_a_key_is_copied_to_the_same_place_of_another_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert copying(tmp_path / ".config" / "fleet.key") == "scp -p ~/.config/fleet.key HOST:.config/fleet.key"
    assert copying(Path("/etc/fleet.key")) == "scp -p /etc/fleet.key HOST:/etc/fleet.key"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_a_key_that_others_can_read_or_write_is_refused(mode: int, open_place: Path) -> None:  # noqa: F811
    named = settings(GLM_ARIA_FLEET_KEY_FILE=str(open_place / "fleet.key"))
    make_key(named).chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        fleet_keys(named)


@pytest.mark.parametrize("text", [b"", b"short", CANARY.encode() + b" short", b"\xff" * 32])
def test_what_is_no_key_is_refused_and_not_quoted(text: bytes) -> None:
    file = make_key(settings())
    file.write_bytes(text)
    with pytest.raises(ConfigError) as raised:
        fleet_keys(settings())
    assert CANARY not in f"{raised.value.message} {raised.value.hint}"
    assert "glm-aria fleet key" in str(raised.value.hint)


def test_a_key_in_the_environment_that_is_none_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as raised:
        fleet_keys(settings(GLM_ARIA_FLEET_KEY="fifteen-letters"))
    assert "GLM_ARIA_FLEET_KEY" in raised.value.message
    assert "fifteen" not in f"{raised.value.message} {raised.value.hint}"


def test_commands_that_are_run_do_not_see_the_key() -> None:
    environ = {"GLM_ARIA_FLEET_KEY": CANARY, "COPY": CANARY, "PATH": "/bin"}
    assert without_secrets(environ, settings(**environ)) == {"PATH": "/bin"}
    assert CANARY not in repr(settings(**environ))


def test_a_folder_of_somebody_else_does_not_choose_the_key(tmp_path: Path) -> None:
    (tmp_path / "glm-aria.toml").write_text('[fleet]\nkey_file = "/elsewhere"\n')
    with pytest.raises(ConfigError, match="secrets"):
        load({}, environ={}, folder=tmp_path)
