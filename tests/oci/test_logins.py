"""Files of logins: our own, and docker's."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError
from orchestrator.oci.login import Login
from orchestrator.oci.logins import files_of_others, keep_login, of_environment, read_logins


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_what_is_kept_is_read_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "new" / "registries.json"
    login = Login("ann", "pass:word", "https://auth.example/token")
    assert not keep_login(file, "registry.example", login)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_logins([file]) == {"registry.example": login}
    assert keep_login(file, "registry.example", None)
    assert read_logins([file]) == {}
    assert not keep_login(file, "registry.example", None)


def test_the_first_file_wins_and_hosts_are_read_as_docker_writes_them(tmp_path: Path) -> None:
    own = written(tmp_path / "own", {"auths": {"a.example": auth("own:1")}})
    docker = written(
        tmp_path / "docker",
        {
            "auths": {
                "A.example": auth("docker:2"),
                "https://b.example:5000/v2/": auth("docker:3"),
                "helper.example": {},
                "odd.example": {"auth": "?"},
                "no-colon.example": auth("x"),
            },
            "credsStore": "desktop",
        },
    )
    assert read_logins([tmp_path / "absent", own, docker]) == {
        "a.example": Login("own", "1"),
        "b.example:5000": Login("docker", "3"),
    }


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"auths": []}', b'{"auths": {"a": 1}}', b"{" * 100_000])
def test_what_is_no_such_file_has_no_logins(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert read_logins([tmp_path / "f", tmp_path]) == {}


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(ConfigError):
        keep_login(tmp_path / "f", "a", Login("u", "p"))
    assert (tmp_path / "f").read_text() == "mine"


def test_files_of_others_are_where_their_programs_have_them() -> None:
    home = Path("/h")
    assert files_of_others(home, {}) == (home / ".docker/config.json",)
    given = {"REGISTRY_AUTH_FILE": "/a", "XDG_RUNTIME_DIR": "/r", "DOCKER_CONFIG": "/d"}
    assert files_of_others(home, given) == (Path("/a"), Path("/r/containers/auth.json"), Path("/d/config.json"))
    assert files_of_others(None, {}) == ()


def test_mlflow_has_variables_of_its_own() -> None:
    url = "https://mlflow.example:5000"
    assert of_environment({"MLFLOW_TRACKING_TOKEN": "t"}, url) == {"mlflow.example:5000": Login("", "t")}
    both = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}
    assert of_environment(both, url) == {"mlflow.example:5000": Login("u", "p")}
    assert of_environment(both, None) == of_environment({}, url) == {}
