"""Where settings come from: the order of the layers, what each may say, and where secrets may go."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE
from orchestrator.core.sources import Source
from orchestrator.core.speeds import SpeedPlan, SpeedSpan
from orchestrator.core.trust import Policy
from orchestrator.errors import ConfigError, UsageError
from orchestrator.settings import Settings, default_mirrors, load
from orchestrator.settings.table import PERSONAL

TOKEN = "hf_canary0123456789"
Load = Callable[..., Settings]


@pytest.fixture
def given(tmp_path: Path) -> Load:
    """Loads from layers as text: flags, environment, the folder's file, the user's file."""
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()

    def read(
        flags: dict[str, object] | None = None, env: dict[str, str] | None = None, here: str = "", mine: str = ""
    ) -> Settings:
        (folder / "glm-aria.toml").write_text(here)
        (home / "config.toml").write_text(mine)
        environ = {"HF_HOME": str(home / "hf")} | (env or {})
        return load(flags, environ=environ, folder=folder, personal=home / "config.toml")

    return read


# Each row: setting, flag, variables from the strongest to the weakest, key, and two spellings with their values.
LAYERS = [
    ("cache_dir", ["GLM_ARIA_CACHE_DIR", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"], "cache.dir",
     "/a", Path("/a"), "/b", Path("/b")),
    ("policy", ["GLM_ARIA_TRUST"], "trust.policy", "root", Policy.ROOT, "commit", Policy.COMMIT),
    ("connections_per_mirror", ["GLM_ARIA_CONNECTIONS"], "transfer.connections_per_mirror", 3, 3, 4, 4),
    ("connection_budget", ["GLM_ARIA_CONNECTION_BUDGET"], "transfer.connection_budget", 3, 3, 4, 4),
    ("jobs", ["GLM_ARIA_JOBS"], "transfer.jobs", 3, 3, 4, 4),
    ("max_speed", ["GLM_ARIA_MAX_SPEED"], "transfer.max_speed", "1K", 1024, "1KB", 1000),
    ("max_speed", ["GLM_ARIA_MAX_SPEED"], "transfer.max_speed", "else=1K", SpeedPlan("else=1K", (), 1024),
     "22:00-06:00=0,else=1KB", SpeedPlan("22:00-06:00=0,else=1KB", (SpeedSpan(1320, 360, None),), 1000)),
    ("polite", ["GLM_ARIA_POLITE"], "transfer.polite", "1", True, "0", False),
    ("rpc", ["GLM_ARIA_RPC"], "aria2.rpc", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x", "http://h:2/x", "http://h:2/x"),
    ("rpc_secret_file", ["GLM_ARIA_RPC_SECRET_FILE"], "aria2.rpc_secret_file", "/a", Path("/a"), "/b", Path("/b")),
    ("proxy", ["GLM_ARIA_PROXY"], "transfer.proxy", "http://p:1", "http://p:1", "none", "none"),
    ("root_proxy", ["GLM_ARIA_ROOT_PROXY"], "trust.root_proxy", "http://p:1", "http://p:1", "none", "none"),
    ("no_proxy", ["GLM_ARIA_NO_PROXY", "no_proxy", "NO_PROXY"], "transfer.no_proxy",
     "a, .b", ("a", ".b"), "10.0.0.0/8", ("10.0.0.0/8",)),
    ("ca_bundle", ["GLM_ARIA_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"], "tls.ca_bundle",
     "/", Path("/"), "/usr", Path("/usr")),
    ("offline", ["GLM_ARIA_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"], "transfer.offline",
     "1", True, "0", False),
    ("etag_timeout", ["GLM_ARIA_ETAG_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"], "transfer.etag_timeout", 3, 3.0, 4.5, 4.5),
    ("download_timeout", ["GLM_ARIA_DOWNLOAD_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"], "transfer.download_timeout",
     3, 3.0, 4, 4.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "variables", "key", "one", "one_value", "two", "two_value"), LAYERS, ids=[row[0] for row in LAYERS]
)
def test_each_layer_wins_over_those_below(
    given: Load,
    name: str,
    variables: list[str],
    key: str,
    one: object,
    one_value: object,
    two: object,
    two_value: object,
) -> None:
    section, _, short = key.partition(".")

    def file(value: object) -> str:
        return f"[{section}]\n{short} = {value!r}\n".replace("'", '"')

    assert given().origins[name] == "default"
    mine = given(mine=file(one))
    assert getattr(mine, name) == one_value
    assert mine.origins[name].endswith(f"home/config.toml:{key}")
    if key not in PERSONAL:
        here = given(here=file(two), mine=file(one))
        assert getattr(here, name) == two_value
        assert here.origins[name].endswith(f"folder/glm-aria.toml:{key}")
    lower: dict[str, str] = {}
    for variable in reversed(variables):
        found = given(env=lower | {variable: str(one)}, mine=file(two))
        assert getattr(found, name) == one_value
        assert found.origins[name] == f"environment {variable}"
        lower[variable] = str(two)
    flagged = given({name: one}, env=lower, mine=file(two))
    assert getattr(flagged, name) == one_value
    assert flagged.origins[name].startswith("flag ")


def test_the_cache_is_where_hugging_face_software_looks(given: Load, tmp_path: Path) -> None:
    assert given().cache_dir == tmp_path / "home/hf/hub"
    assert given(env={"HF_HOME": "", "XDG_CACHE_HOME": "/x"}).cache_dir == Path("/x/huggingface/hub")
    assert given(env={"HF_HOME": "", "HF_HUB_CACHE": "rel"}).cache_dir == tmp_path / "folder/rel"
    assert given(env={"HF_HOME": ""}).cache_dir == Path.home() / ".cache/huggingface/hub"
    assert given(mine="[cache]\ndir = 'x'").cache_dir == tmp_path / "home/x"


def test_an_empty_value_is_no_value(given: Load) -> None:
    here = "[trust]\ntoken_hosts = []\n[transfer]\nmax_speed = ''\n[aria2]\nrpc = ''\n"
    settings = given(env={"GLM_ARIA_JOBS": " ", "HF_ENDPOINT": ""}, here=here)
    assert (settings.jobs, settings.max_speed, settings.rpc, settings.root.name) == (None, None, None, "huggingface.co")


# --- root and mirrors ---------------------------------------------------------------------------------------------


def test_the_defaults_without_any_setting(given: Load) -> None:
    settings = given()
    assert settings.root == Source("huggingface.co", "https://huggingface.co", is_root=True)
    assert settings.mirrors == default_mirrors()
    assert settings.aliases["zai-org/AutoGLM-Phone-9B"] == "ZhipuAI/AutoGLM-Phone-9B"
    assert settings.token_hosts == {"huggingface.co"}
    assert (settings.token, settings.warnings, settings.token_withheld) == (None, (), None)


@pytest.mark.parametrize(
    ("flags", "env", "root"),
    [
        ({"root": "https://f"}, {"GLM_ARIA_ROOT": "https://g"}, "https://f"),
        ({}, {"GLM_ARIA_ROOT": "https://g", "HF_ENDPOINT": "https://h"}, "https://g"),
        ({}, {"HF_ENDPOINT": "https://h/"}, "https://h"),
        ({}, {}, "https://u"),
    ],
)
def test_the_root_comes_from_flag_environment_or_file(
    given: Load, flags: dict[str, object], env: dict[str, str], root: str
) -> None:
    found = given(flags, env, mine="[trust]\nroot='https://u'")
    assert found.root.url == root
    assert found.root.is_root


def test_a_root_of_ones_own_is_kept_from_the_default_mirrors(given: Load) -> None:
    assert given({"root": "https://hub.example"}).mirrors == ()
    assert given({"root": "https://HuggingFace.co/"}).mirrors == default_mirrors()
    named = given({"root": "https://hub.example", "mirrors": ("https://m.example",)})
    assert [mirror.url for mirror in named.mirrors] == ["https://m.example"]


def test_a_public_mirror_as_the_endpoint_keeps_the_others(given: Load) -> None:
    settings = given(env={"HF_ENDPOINT": "https://hf-mirror.com"})
    assert settings.root.url == "https://hf-mirror.com"
    assert [mirror.name for mirror in settings.mirrors] == ["modelscope"]


def test_mirrors_of_the_highest_layer_replace_the_others(given: Load) -> None:
    here = '[[mirror]]\nname = "lan"\nkind = "modelscope"\nurl = "https://lan.example/ms"\n'
    lan = Source("lan", "https://lan.example/ms", MODELSCOPE)
    assert given(mine=here).mirrors == (lan,)
    assert given(here=here).mirrors == (replace(lan, is_believed=False),)
    for between in ("  ", ",", " , "):
        env = {"GLM_ARIA_MIRRORS": f"https://a{between}modelscope+https://b"}
        assert [(m.url, m.kind) for m in given(env=env, here=here).mirrors] == [
            ("https://a", HUGGINGFACE),
            ("https://b", MODELSCOPE),
        ]
    assert given({"mirrors": ()}, env=env, here=here).mirrors == ()
    assert given(env={"GLM_ARIA_MIRRORS": "none"}).mirrors == ()


def test_mirrors_are_told_apart_and_named_once(given: Load) -> None:
    urls = ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b", "http://127.0.0.1:1/a/", "https://root.example")
    found = given({"root": "https://root.example", "mirrors": urls}).mirrors
    assert [mirror.name for mirror in found] == ["127.0.0.1:1", "127.0.0.1:1-2"]


def test_plain_http_is_quiet_on_loopback_only(given: Load) -> None:
    loopback = given({"root": "http://127.0.0.1:8000", "mirrors": ("http://localhost:1", "http://[::1]:2")})
    assert loopback.warnings == ()
    lan = given({"root": "http://127.0.0.1:8000", "mirrors": ("http://10.0.0.5", "http://127.0.0.1.evil.example")})
    assert [code for code, _ in lan.warnings] == ["plain-http", "plain-http"]


def test_aliases_are_merged(given: Load) -> None:
    settings = given(mine="[aliases]\n'e/f' = 'g/h'\n")
    assert settings.aliases["e/f"] == "g/h"
    assert settings.aliases["zai-org/AutoGLM-Phone-9B"] == "ZhipuAI/AutoGLM-Phone-9B"


# --- the token ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "env", "here", "mine", "goes"),
    [
        ({}, {}, "", "", True),
        ({"root": "https://own.example"}, {}, "", "", True),
        ({}, {"GLM_ARIA_ROOT": "https://own.example"}, "", "", True),
        ({}, {}, "", "[trust]\nroot='https://own.example'", True),
        ({}, {"HF_ENDPOINT": "https://huggingface.co"}, "", "", True),
        ({}, {"HF_ENDPOINT": "https://hf-mirror.com"}, "", "", False),
        ({}, {"HF_ENDPOINT": "http://127.0.0.1:9000"}, "", "", False),
        ({}, {"HF_ENDPOINT": "http://127.0.0.1:9000"}, "", "[trust]\ntoken_hosts=['127.0.0.1:9000']", True),
        ({}, {"HF_ENDPOINT": "http://127.0.0.1:9000"}, "", "[trust]\ntoken_hosts=['127.0.0.1']", False),
        ({}, {"HF_ENDPOINT": "https://own.example", "GLM_ARIA_TOKEN_HOSTS": "a, Own.Example"}, "", "", True),
        ({}, {}, "", "[trust]\nroot='https://own.example'\ntoken_hosts=['a']", True),
        ({"root": "http://10.0.0.5"}, {}, "", "", False),
    ],
)
def test_which_root_may_see_the_token(
    given: Load, flags: dict[str, object], env: dict[str, str], here: str, mine: str, goes: bool
) -> None:
    settings = given(flags, env | {"HF_TOKEN": TOKEN}, here, mine)
    assert (settings.token_withheld is None) is goes
    if settings.root.url.startswith("https:"):
        assert (settings.root.host in settings.token_hosts) is goes
    assert TOKEN not in (settings.token_withheld or "")


def test_a_mirror_is_no_token_host(given: Load) -> None:
    settings = given({"mirrors": ("https://m.example",)}, {"HF_TOKEN": TOKEN})
    assert settings.token_hosts == {"huggingface.co"}


def test_the_order_of_tokens(given: Load, tmp_path: Path) -> None:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    write("home/hf/token", "from-home\n")
    assert given().token == "from-home"
    env = {"HF_TOKEN_PATH": write("path", "from-path")}
    assert given(env=env).token == "from-path"
    env["HUGGING_FACE_HUB_TOKEN"] = "from-old"
    assert given(env=env).token == "from-old"
    env["HF_TOKEN"] = " from-env\n"
    found = given(env=env)
    assert (found.token, found.origins["token"]) == ("from-env", "environment HF_TOKEN")
    named = {"token_file": write("flag", "from-flag\r\n")}
    assert given(named, env).token == "from-flag"
    env["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    assert given(env=env).token is None
    assert given(named, env).token == "from-flag"


@pytest.mark.parametrize("text", ["two words", "a\nb", "käse", "a\x1b[2Jb", "x" * 5000])
def test_a_malformed_token_is_refused_and_not_quoted(given: Load, text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    for flags, env in (({"token_file": str(file)}, {}), ({}, {"HF_TOKEN": text})):
        with pytest.raises(ConfigError) as caught:
            given(flags, env)
        assert text not in caught.value.message
        assert "malformed" in caught.value.message


def test_a_named_token_file_must_be_there(given: Load, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--token-file"):
        given({"token_file": str(tmp_path / "none")})
    assert given(env={"HF_TOKEN_PATH": str(tmp_path / "none")}).token is None


def test_secrets_do_not_show(given: Load) -> None:
    settings = given(env={"HF_TOKEN": TOKEN, "GLM_ARIA_PROXY": "http://me:pass-canary@proxy:1"})
    assert settings.token == TOKEN
    assert TOKEN not in repr(settings)
    assert "pass-canary" not in repr(settings)
    assert "***" in repr(settings)


# --- proxies and certificates -------------------------------------------------------------------------------------


def test_a_mirror_has_a_proxy_of_its_own_by_whatever_it_is_named(given: Load) -> None:
    mine = "[[mirror]]\nurl = 'https://m/'\nproxy = 'http://me:pass-canary@p:1'\n[[mirror]]\nurl = 'https://n'\n"
    for settings in (given(mine=mine), given({"mirrors": ("https://m",)}, mine=mine)):
        assert settings.mirror_proxies == {"https://m": "http://me:pass-canary@p:1"}
        assert settings.origins["mirror_proxies"].endswith("config.toml:mirror 1")
        assert "pass-canary" not in repr(settings)
    here = given(mine=mine, here="[[mirror]]\nurl = 'https://m'\nproxy = 'none'\n")
    assert here.mirror_proxies == {"https://m": "none"}


def test_a_login_on_the_command_line_is_refused(given: Load) -> None:
    with pytest.raises(UsageError, match="flag --proxy: a password on the command line") as caught:
        given({"proxy": "http://me:canary@p:1"})
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert given({"proxy": "http://p:1"}).proxy == "http://p:1"
    assert given(env={"GLM_ARIA_PROXY": "http://me:canary@p:1"}).proxy == "http://me:canary@p:1"


def test_certificates_are_looked_at(given: Load, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    assert given(env={"REQUESTS_CA_BUNDLE": str(bundle)}).ca_bundle == bundle
    bundle.write_bytes(b"\x30\x82")
    with pytest.raises(ConfigError, match=r"REQUESTS_CA_BUNDLE: .*no certificate in PEM form"):
        given(env={"REQUESTS_CA_BUNDLE": str(bundle)})
    with pytest.raises(ConfigError, match=r"config\.toml:tls\.ca_bundle: .* cannot be read"):
        given(mine="[tls]\nca_bundle = 'none.pem'")


# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[trust]\nrot = 'x'", "glm-aria.toml:trust.rot: unknown key", "trust.root"),
        ("[transfer]\nmaxspeed = '1M'", "glm-aria.toml:transfer.maxspeed: unknown key", "transfer.max_speed"),
        ("max_speed = '1M'", "glm-aria.toml:max_speed: unknown key", "transfer.max_speed"),
        ("[transfer]\njobs = 0", "glm-aria.toml:transfer.jobs: must be a whole number from 1", ""),
        ("[transfer]\njobs = true", "glm-aria.toml:transfer.jobs: must be a whole number", ""),
        ("[transfer]\nconnections_per_mirror = 257", "from 1 to 256", ""),
        ("[transfer]\nmax_speed = 'fast'", "'fast' is not a size", ""),
        ("[transfer]\netag_timeout = 'nan'", "must be a number of seconds", ""),
        ("[transfer]\noffline = 'maybe'", "must be 1 or 0", ""),
        ("[transfer]\nproxy = 'socks5://x'", "http://proxy.example", ""),
        ("[transfer]\nproxy = 'https://me:canary@x'", "plain http", ""),
        ("[trust]\nroot_proxy = 'http://me:canary@x'", "trust.root_proxy: a working directory's file", "config path"),
        ("[transfer]\nproxy = 'http://me:canary@x'", "transfer.proxy: a working directory's file", "GLM_ARIA_PROXY"),
        ("[[mirror]]\nurl = 'https://x'\nproxy = 'http://me:canary@x'", "mirror 1: a working directory's file", ""),
        ("[[mirror]]\nurl = 'https://x'\nproxy = 'socks5://me:canary@x'", "mirror 1: SOCKS is not supported", ""),
        ("[transfer]\nno_proxy = [3]", "list of host names", ""),
        ("[[mirror]]\nname = 'x'", "glm-aria.toml:mirror: mirror 1: url is missing", ""),
        ("[[mirror]]\nurl = 'https://x'\ntyp = 'y'", "mirror 1: unknown key 'typ'", ""),
        ("[[mirror]]\nurl = 'https://x'\nkind = 'y'", "unknown kind of mirror", "modelscope"),
        ("[[mirror]]\nurl = 'https://x'\nname = 'a b'", "the name 'a b'", ""),
        ("mirror = 'https://x'", "must be a list of tables", "[[mirror]]"),
        ("[trust", "is not valid TOML", ""),
    ],
)
def test_a_wrong_file_is_named_with_its_key(given: Load, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(here=text)
    assert message in caught.value.message
    assert "glm-aria.toml" in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "canary" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[trust]\nroot = 'huggingface.co'", "config.toml:trust.root: 'huggingface.co' is not an address", ""),
        ("[trust]\nroot = 'modelscope+https://x'", "must be a Hugging Face site", "--mirror"),
        ("[trust]\nroot = 'https://[x'", "config.toml:trust.root: ", ""),
        ("[aliases]\n'a//b' = 'c/d'", "not a repo name", ""),
        ("[aliases]\n'a/b' = 3", "must be a text", ""),
    ],
)
def test_what_only_ones_own_file_may_say_is_looked_at_there(given: Load, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(mine=text)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "[trust]\ntoken_hosts = ['evil.example']",
        "[trust]\ntoken_file = '/etc/passwd'",
        "[aria2]\nrpc = 'http://evil.example/jsonrpc'",
        "[aria2]\nrpc_secret_file = '/etc/passwd'",
        "[tls]\nca_bundle = '/'",
    ],
)
def test_a_folders_file_cannot_direct_secrets(given: Load, text: str) -> None:
    with pytest.raises(ConfigError, match="must not decide where secrets go"):
        given(here=text)
    if "passwd" not in text:
        given(mine=text)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"HF_ENDPOINT": "nonsense"}, "environment HF_ENDPOINT: 'nonsense' is not an address"),
        ({"GLM_ARIA_JOBS": "many"}, "environment GLM_ARIA_JOBS: must be a whole number"),
        ({"HF_HUB_OFFLINE": "perhaps"}, "environment HF_HUB_OFFLINE: must be 1 or 0"),
        ({"HF_HUB_ETAG_TIMEOUT": "-1"}, "environment HF_HUB_ETAG_TIMEOUT: must be"),
        ({"HF_HUB_DISABLE_IMPLICIT_TOKEN": "x"}, "environment HF_HUB_DISABLE_IMPLICIT_TOKEN: must be"),
        ({"GLM_ARIA_TOKEN_HOSTS": "https://x"}, "without https://"),
        ({"GLM_ARIA_RPC": "http://u:p@h/jsonrpc"}, "must not hold a password"),
    ],
)
def test_a_wrong_variable_is_named(given: Load, env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(env=env)
    assert message in caught.value.message
    ((variable, _),) = env.items()
    assert caught.value.hint, "config show reads the same settings, so it cannot help"
    assert "config show" not in caught.value.hint
    assert f"unset {variable}" in caught.value.hint or "for example" in caught.value.hint


def test_a_home_that_is_not_there_is_named_with_what_to_set(given: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no home folder for '~nobody-here/x'; set HOME") as caught:
        given(env={"HF_HOME": "~nobody-here/x"})
    assert caught.value.hint == "correct it, or take it away: unset HF_HOME"
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="the usual place of the cache: there is no home folder") as caught:
        given(env={"HF_HOME": ""})
    assert caught.value.hint == "for example: export HF_HOME=/a/folder"


def test_a_wrong_flag_is_a_wrong_command_line(given: Load) -> None:
    for flags in ({"max_speed": "fast"}, {"root": "x"}, {"mirrors": ("ftp://x",)}, {"connections_per_mirror": 999}):
        with pytest.raises(UsageError, match="flag --"):
            given(flags)


def test_a_misspelled_variable_is_warned_of(given: Load) -> None:
    ((code, message),) = given(env={"GLM_ARIA_MAXSPEED": "1M"}).warnings
    assert code == "unknown-variable"
    assert "GLM_ARIA_MAX_SPEED" in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "glm-aria.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(environ={}, folder=tmp_path, personal=tmp_path / "none")
    (tmp_path / "glm-aria.toml").unlink()
    (tmp_path / "glm-aria.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={}, folder=tmp_path, personal=tmp_path / "none")


# --- trust --------------------------------------------------------------------------------------------------------

CONTRACT = """
[trust]
root = "https://huggingface.co"
policy = "agree"
token_hosts = []
[[mirror]]
name = "hf-mirror"
kind = "huggingface"
url = "https://hf-mirror.com"
[[mirror]]
name = "modelscope"
kind = "modelscope"
url = "https://modelscope.cn"
[aliases]
"zai-org/AutoGLM-Phone-9B" = "ZhipuAI/AutoGLM-Phone-9B"
[transfer]
connections_per_mirror = 16
connection_budget = 64
max_speed = ""
[aria2]
rpc = ""
"""


def test_the_file_of_the_contract_loads_in_both_places(given: Load) -> None:
    for here, mine in ((CONTRACT, ""), ("", CONTRACT)):
        settings = given(here=here, mine=mine)
        assert (settings.policy, settings.root.url) == (Policy.AGREE, "https://huggingface.co")
        assert settings.mirrors == default_mirrors()


@pytest.mark.parametrize(
    ("mine", "here", "policy"),
    [
        ("", "", "agree"),
        ("", "agree", "agree"),
        ("", "root", "root"),
        ("", "commit", "commit"),
        ("any", "agree", "agree"),
        ("any", "any", "any"),
        ("root", "commit", "commit"),
        ("", "any", None),
        ("root", "agree", None),
        ("commit", "root", None),
    ],
)
def test_a_working_directory_may_raise_the_policy_but_not_lower_it(
    given: Load, mine: str, here: str, policy: str | None
) -> None:
    files = [f"[trust]\npolicy = '{word}'" if word else "" for word in (here, mine)]
    if policy:
        assert given({}, {}, *files).policy == policy
        return
    with pytest.raises(ConfigError, match=r"glm-aria\.toml:trust\.policy: .*must not lower the trust") as caught:
        given({}, {}, *files)
    assert "--trust" in str(caught.value.hint)
    assert given({"policy": "any"}, {}, *files).policy == "any", "the user's own word is not asked about"
    assert given({}, {"GLM_ARIA_TRUST": "any"}, *files).policy == "any"


def test_a_policy_that_is_none(given: Load) -> None:
    with pytest.raises(ConfigError, match="environment GLM_ARIA_TRUST: must be one of agree, any, commit, root"):
        given(env={"GLM_ARIA_TRUST": "nobody"})
