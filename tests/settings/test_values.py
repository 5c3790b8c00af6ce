"""For every option, variable and key: a value that means nothing is refused, never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli.main import COMMANDS, cli, main
from orchestrator.errors import ConfigError, UsageError
from orchestrator.settings import load, values
from orchestrator.settings.table import KEYS

# For each setting, texts that mean nothing.
NONSENSE = {
    "cache_dir": ["$GLM_ARIA_NOT_SET/x", "${GLM_ARIA_NOT_SET}", "~nobody-of-this-name/x", r"C:\models"],
    "root": ["huggingface.co", "https://", "https://a,https://b", "ftp://a", "https://a b"],
    "policy": ["none", "2", "root,any"],
    "mirrors": ["hf-mirror.com", "https://a;https://b", "foo+https://a", "https://a|https://b"],
    "token": ["two words", "käse", "a\x1bb"],
    "token_file": ["/none/such", "$GLM_ARIA_NOT_SET", "/dev/null"],
    "token_hosts": ["https://a", "a:0", "a:99999", "a/b", "[::1", "a:b", "*"],
    "connections_per_mirror": ["0", "257", "-1", "1.5", "many", "1e3"],
    "connection_budget": ["0", "1025", "x"],
    "jobs": ["0", "x", "-4", "1,5"],
    "max_speed": ["fast", "20 M B", "-1", "1..5M", "nan", "20Mbit", "08:00-18:00", "8-18=1M", "else=fast"],
    "polite": ["maybe", "2"],
    "rpc": ["127.0.0.1:6800", "ftp://a", "http://", "http://a:99999", "ws://a:6800/jsonrpc", "http://a/jsonrpc?token=x"],
    "rpc_secret_file": ["$GLM_ARIA_NOT_SET"],
    "proxy": ["socks5://a:1", "http://", "http://a:0", "http://a:1/path", "a b", "https://a:1"],
    "root_proxy": ["socks5://a:1", "http://a:1,http://b:1"],
    "dns_resolvers": ["dns.example", "1.1.1", "1.1.1.1:0", "1.1.1.1:99999", "fe80::1%eth0", "1.1.1.1;8.8.8.8"],
    "ca_bundle": ["/none/such", "/dev/null"],
    "offline": ["maybe", "2", "-"],
    "disable_symlinks": ["maybe"],
    "portable": ["maybe", "2"],
    "etag_timeout": ["0", "-1", "nan", "inf", "1s", "1e9"],
    "download_timeout": ["0", "soon"],
    "no_proxy": ["<local>", "192.168.*", "a b/c", "http://a", "a:99999", "*.*"],
    "shared_redis": ["http://a", "redis://", "redis://a:0", "redis://a/x", "unix://", "a:6379", "redis://a b"],
    "serve_gated": ["all", "1", "right,hub"],
    "serve_early": ["always", "1", "safe,never"],
    "serve_access_log": ["a\0b", "~nobody-at-all/log"],
    "serve_hosts": ["http://a", "a:8090", "a/b", "*", "käse"],
    "serve_proxies": ["proxy.lab", "10.0.0.0/33", "10.0.0.1:80", "*"],
    "serve_client_connections": ["0", "1025", "many"],
    "serve_client_questions": ["0", "17", "x"],
    "serve_client_speed": ["fast", "-1", "20Mbit"],
    "serve_max_size": ["fast", "-1", "5 of them"],
    "serve_follow": ["$GLM_ARIA_NOT_SET/x"],
    "predict_enabled": ["maybe"],
    "predict_dry_run": ["maybe"],
    "predict_price": ["cheap", "0", "-1"],
    "predict_daily": ["much", "-1"],
    "predict_windows": ["22:00", "25:00-26:00", "22:00-22:00"],
    "serve_token": ["a\nb", "\u00e4"],
    "serve_registry": ["ftp://x", "https://user@x"],
    "serve_registry_grpc": ["grpc.lab:8092", "127.0.0.1", "127.0.0.1:x"],
    "serve_registry_rules": ["$GLM_ARIA_NOT_SET/x"],
    "registry_hub_namespaces": ["org/model", "org,-x"],
    "serve_groups": ["ml", "ml,sre=reader"],
    "registry_token": ["a\nb", "\u00e4"],
    "fleet_key": ["a\nb", "\u00e4"],
    "fleet_key_file": ["$GLM_ARIA_NOT_SET/x"],
    "fleet_share_restricted": ["maybe"],
    "fleet_hosts": ["https://a", "a:80"],
    "fleet_uploads": ["0", "257", "x"],
    "fleet_control": ["https://host", "host:port", "redis://"],
    "fleet_redis": ["host:6379", "https://host"],
    "fleet_zone": ["a b", "\u00e4"],
    "fleet_site": ["a b", "-rome", "\u00e4"],
    "fleet_links": ["http://a", "a:0", "a/b", "*"],
    "fleet_authority": ["$GLM_ARIA_NOT_SET/x"],
    "fleet_certificate": ["$GLM_ARIA_NOT_SET/x"],
    "fleet_certificate_key": ["$GLM_ARIA_NOT_SET/x"],
    "fleet_token": ["a\nb", "\u00e4"],
    "fleet_lan": ["maybe"],
    "fleet_peers": ["http://a", "a:0", "a/b", "a:b", "*"],
    "fleet_listen": ["8092", "host:8092", "0.0.0.0:99999", "10.0.0.1", "::1", "http://10.0.0.1:1"],
    "fleet_linger": ["-1", "86401", "a minute"],
    "registry_url": ["http://user:password@host", "https://host?x=1", "http://"],
    "node_labels": ["zone", "=edge", "zone="],
    "notify": ["nonsense", "ftp://a", "slack:", "https://", "none,"],
    "mlflow_url": ["http://user:password@host", "https://host?x=1"],
}  # fmt: skip
SHARED = {"no_proxy", "NO_PROXY"}
"""Read by other programs, too, each in its way: what means nothing to us is a warning."""


def test_all_settings_are_here() -> None:
    assert NONSENSE.keys() == KEYS.keys() - {"aliases"}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_in_every_layer(name: str, tmp_path: Path) -> None:
    key = KEYS[name]
    for text in NONSENSE[name]:
        for variable in key.variables:
            found = _load(tmp_path, env={variable: text})
            if "NOT_SET" in text and not variable.startswith("GLM_ARIA_"):
                continue  # as huggingface_hub has it, which leaves such a name as it is
            if variable in SHARED:
                assert not isinstance(found, Exception)
                assert "no-proxy-entry" in [caution.code for caution in found.warnings], text
            else:
                assert isinstance(found, ConfigError), (variable, text)
        if key.toml and key.toml != "mirror":
            section, _, short = key.toml.partition(".")
            quoted = text.replace("\\", "\\\\").replace("\x1b", "\\u001b")
            assert isinstance(_load(tmp_path, mine=f'[{section}]\n{short} = "{quoted}"\n'), ConfigError), text
        if key.flag:
            value: Any = (text,) if name == "mirrors" else text
            assert isinstance(_load(tmp_path, flags={name: value}), UsageError | ConfigError), text


@pytest.mark.parametrize("name", [name for name in NONSENSE if KEYS[name].toml])
@pytest.mark.parametrize("value", ["{}", "{ a = 1 }", "[[1]]", "1979-05-27", "[{}]", "nan", '["", 3]', '"\\u0000"'])
def test_other_types_are_refused_in_files(name: str, value: str, tmp_path: Path) -> None:
    section, _, short = KEYS[name].toml.rpartition(".")
    text = f"[{section}]\n{short} = {value}\n" if section else f"{short} = {value}\n"
    assert isinstance(_load(tmp_path, mine=text), ConfigError)


@pytest.mark.parametrize("variable", ["HF_HOME", "XDG_CACHE_HOME", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN"])
def test_variables_that_are_no_settings(variable: str, tmp_path: Path) -> None:
    env = {variable: "~nobody-of-this-name/x"} | ({"HF_HOME": ""} if variable == "XDG_CACHE_HOME" else {})
    assert isinstance(_load(tmp_path, env=env), ConfigError)


@given(st.dictionaries(st.sampled_from([v for key in KEYS.values() for v in key.variables]), st.text(max_size=40)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_environment_is_settings_or_an_error_of_its_class(tmp_path: Path, env: dict[str, str]) -> None:
    env = {name: text.replace("\0", "") for name, text in env.items()}
    found = _load(tmp_path, env=env)
    assert not isinstance(found, Exception) or isinstance(found, ConfigError)


@given(st.recursive(st.one_of(st.text(), st.integers(), st.booleans(), st.floats()), st.lists, max_leaves=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_of_a_file_is_a_setting_or_an_error_of_its_class(tmp_path: Path, value: object) -> None:
    import tomlkit

    for key in {key.toml for key in KEYS.values() if key.toml}:
        section, _, short = key.rpartition(".")
        document = {section: {short: value}} if section else {short: value}
        try:
            text = tomlkit.dumps(document)
        except Exception:
            continue
        found = _load(tmp_path, mine=text)
        assert not isinstance(found, Exception) or isinstance(found, ConfigError)


def _load(tmp_path: Path, flags: Any = None, env: dict[str, str] | None = None, mine: str = "") -> Any:
    file = tmp_path / "mine.toml"
    file.write_text(mine, "utf-8", errors="surrogatepass")
    environ = {"HF_HOME": str(tmp_path / "hf")} | (env or {})
    try:
        return load(flags, environ=environ, folder=tmp_path, personal=file)
    except (UsageError, ConfigError) as error:
        return error


# -- options of commands


def _options() -> Iterator[tuple[str, str]]:
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        below = command.commands if isinstance(command, click.Group) else {"": command}
        for sub, found in below.items():
            for parameter in found.params:
                if isinstance(parameter, click.Option) and not parameter.is_flag:
                    yield f"{name} {sub}".strip(), parameter.opts[-1]


@pytest.mark.parametrize(("command", "option"), list(_options()))
def test_no_option_takes_an_empty_text(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), option, ""]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--connections", "--jobs"])
def test_zero_is_a_value(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "org/name", option, "0"]) == 2
    assert "whole number" in capsys.readouterr().err


def test_a_home_that_cannot_be_expanded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither HOME nor the user database names a home, `./~/.cache` was made."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    with pytest.raises(ConfigError, match="HOME"):
        load(environ={}, folder=tmp_path, personal=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"environment HF_HOME: .*HOME"):
        load(environ={"HF_HOME": "~/x"}, folder=tmp_path, personal=tmp_path / "none")
    assert load(environ={"HF_HOME": "/x"}, folder=tmp_path, personal=tmp_path / "none").cache_dir == Path("/x/hub")


def test_a_scheduler_with_a_scheme_is_told_its_form() -> None:
    with pytest.raises(ValueError, match="a scheduler is HOST:PORT"):
        values.control("http://head:8091", Path())
