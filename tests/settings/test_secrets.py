"""Which variables a command that we run is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.settings import load
from orchestrator.settings.secrets import without_secrets

LOGIN = "http://me:hidden@proxy.example:8080"


@pytest.mark.parametrize(
    ("environ", "own", "kept"),
    [
        ({"HF_TOKEN": "hf_canary", "MINE": "has hf_canary in it", "OTHER": "x"}, "", {"OTHER"}),
        ({"GLM_ARIA_SHARED_REDIS": "redis://:hidden@r/0", "OTHER": "x"}, "", {"OTHER"}),
        ({"GLM_ARIA_PROXY": LOGIN, "HTTPS_PROXY": LOGIN, "OTHER": "x"}, "", {"OTHER"}),
        ({"GLM_ARIA_ROOT_PROXY": LOGIN, "OTHER": "x"}, "", {"OTHER"}),
        ({"MINE": LOGIN}, f"[[mirror]]\nurl = 'https://m.example'\nproxy = '{LOGIN}'\n", set()),
        # No secret: the command may need it as well.
        ({"GLM_ARIA_PROXY": "http://proxy:1", "HTTPS_PROXY": "http://proxy:1"}, "", {"GLM_ARIA_PROXY", "HTTPS_PROXY"}),
        ({"GLM_ARIA_PROXY": "none", "MODE": "none of them"}, "", {"GLM_ARIA_PROXY", "MODE"}),
    ],
)
def test_secrets_are_taken_out_of_the_environment(
    tmp_path: Path, environ: dict[str, str], own: str, kept: set[str]
) -> None:
    personal = tmp_path / "config.toml"
    personal.write_text(own)
    personal.chmod(0o600)
    settings = load(environ={"HF_HOME": str(tmp_path)} | environ, folder=tmp_path, personal=personal)
    assert without_secrets(environ, settings).keys() == kept


def test_a_login_is_taken_out_where_a_flag_wins_over_its_variable(tmp_path: Path) -> None:
    environ = {"GLM_ARIA_PROXY": LOGIN, "GLM_ARIA_ROOT_PROXY": LOGIN, "OTHER": "x"}
    settings = load(
        {"proxy": "none", "root_proxy": "none"},
        environ={"HF_HOME": str(tmp_path)} | environ,
        folder=tmp_path,
        personal=tmp_path / "none.toml",
    )
    assert without_secrets(environ, settings).keys() == {"OTHER"}
