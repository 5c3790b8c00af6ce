"""`glm-aria fleet key`."""

from pathlib import Path

import pytest

from orchestrator.cli.main import main


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_key_is_made_and_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "key"]) == 0
    out, err = capsys.readouterr()
    file = Path(out.strip())
    secret = file.read_text().strip()
    assert "scp -p" in err
    assert main(["fleet", "key"]) == 2
    assert main(["fleet", "key", "--force"]) == 0
    assert main(["config", "show"]) == 0
    out, err = capsys.readouterr()
    assert not any(text in out + err for text in (secret, file.read_text().strip()))
    assert file.read_text().strip() != secret


def test_the_place_of_a_key_is_shown_before_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "key", "--show-path"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.name == "fleet.key"
    assert not file.exists()


def test_a_key_in_the_environment_wins_and_that_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_ARIA_FLEET_KEY", "canary-of-a-fleet-0123456789")
    assert main(["fleet", "key"]) == 0
    err = capsys.readouterr().err
    assert "GLM_ARIA_FLEET_KEY" in err
    assert "canary" not in err
