"""Every template by the program that reads it: git, aria2c, systemd-analyze, sh, bash and fish. nginx is in tests/e2e.

PowerShell is in no distribution's packages, so its script is held against the rules of its quoting only. What
systemd-resolved reads is held against the names of its manual page: it checks a file only while it runs as a service.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

from orchestrator import templating
from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.rpc import Rpc
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import open_state_dir
from orchestrator.cli.commands.env import NAMES
from orchestrator.cli.main import main
from orchestrator.core.sources import parse_source
from orchestrator.errors import ConfigError
from orchestrator.mirrors.stats import Observation, SourceStats
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import until
from tests.servers.ports import free_port

MIRROR = "https://hf-mirror.com"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", sorted({*templating.names()} - {"grafana-dashboard.json"}))  # JSON has no comments
def test_each_says_what_it_does_and_how_to_undo_it(name: str, printed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("GLM_ARIA_MIRRORS", "http://10.0.0.5:8000")
    values = ["--set", "resolvers=1.1.1.1"] if name == "resolved.conf" else []
    text = printed("render", name, *values)
    head = text[: re.search(r"^(?!#)", text, re.MULTILINE).start()]  # type: ignore[union-attr]
    assert "Undo:" in head
    assert len(head.splitlines()) >= 3
    assert text == printed("render", name, *values)
    assert "{{" not in text.replace("{{ $", "")  # Prometheus has such brackets, too
    assert "{%" not in text


# -- git


def test_git_asks_the_mirror_and_pushes_to_the_root(tmp_path: Path, printed) -> None:  # type: ignore[no-untyped-def]
    home = tmp_path / "home"
    home.mkdir()
    file = home / "glm-aria" / "gitconfig"
    file.parent.mkdir()

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "NO_PROXY": "*"}
        return subprocess.run(
            ["git", *words], cwd=home, env=env, capture_output=True, text=True, timeout=30, check=False
        )

    repo = Repo("model", "org/tiny", {"config.json": b"{}\n"})
    with LoopbackHub([repo]) as hub:
        mirror = hub.mirror("near")
        file.write_text(printed("render", "gitconfig", "--set", f"mirror={mirror.url}"))
        for _ in range(2):
            include = ("include.path", str(file), "glm-aria/gitconfig$")
            assert git("config", "--global", "--replace-all", *include).returncode == 0
        assert git("config", "--global", "--get-all", "include.path").stdout == f"{file}\n"
        told = git("ls-remote", "https://huggingface.co/org/tiny", "refs/heads/main")
        assert told.stdout == f"{repo.head}\trefs/heads/main\n", told.stderr
        assert hub.log.requests(face="near")
        git("init", "here")
        git("-C", "here", "remote", "add", "origin", "https://huggingface.co/org/tiny")
        assert git("-C", "here", "remote", "get-url", "origin").stdout == f"{mirror.url}/org/tiny\n"
        assert git("-C", "here", "remote", "get-url", "--push", "origin").stdout == "https://huggingface.co/org/tiny\n"
        assert git("config", "--global", "--unset-all", "include.path", "glm-aria/gitconfig$").returncode == 0
        assert git("-C", "here", "remote", "get-url", "origin").stdout == "https://huggingface.co/org/tiny\n"


# -- systemd


@pytest.mark.parametrize("name", ["aria2.service", "nginx.service"])
def test_units_pass_systemd_analyze(name: str, tmp_path: Path, printed) -> None:  # type: ignore[no-untyped-def]
    unit = tmp_path / name
    env = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    def verify() -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", "--user", "--man=no", "verify", str(unit)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    unit.write_text(printed("render", name))
    found = verify()
    assert (found.returncode, found.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("[Service]", "[Service]\nNoSuchKey=1\n"))
    assert "NoSuchKey" in verify().stderr, "it does not look"


def test_the_unit_of_aria2_starts_it_only_with_a_secret(tmp_path: Path, printed) -> None:  # type: ignore[no-untyped-def]
    """What its ExecStartPre and ExecStart say, run as systemd would, with %h and %t filled in."""
    (tmp_path / ".config" / "aria2").mkdir(parents=True)
    port = free_port()
    text = printed("render", "aria2.service", "--set", f"port={port}")
    lines = dict(re.findall(r"^(ExecStart(?:Pre)?)=(.*)$", text, re.MULTILINE))
    before, start = (
        line.replace("%h", str(tmp_path)).replace("%t", str(tmp_path))
        for line in (lines["ExecStartPre"], lines["ExecStart"])
    )
    (tmp_path / ".config/aria2/aria2.conf").write_text(printed("render", "aria2.conf"))
    assert subprocess.run(before, shell=True, capture_output=True, check=False).returncode != 0
    (tmp_path / ".config/aria2/secret.conf").write_text("rpc-secret=canary\n")
    assert subprocess.run(before, shell=True, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "aria2.conf").stat().st_mode & 0o077 == 0
    process = subprocess.Popen(start.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    rpc = Rpc(Endpoint(f"http://127.0.0.1:{port}/jsonrpc", "canary"), timeout=3)
    try:
        assert until(lambda: _answers(rpc)), "no answer"
    finally:
        rpc.close()
        process.terminate()
        said = process.communicate(timeout=20)[0]
    assert b"rror" not in said, said


def _answers(rpc: Rpc) -> bool:
    from orchestrator.errors import DaemonError

    try:
        return bool(rpc.version())
    except DaemonError:
        return False


def test_resolved_conf_holds_keys_that_systemd_knows(printed) -> None:  # type: ignore[no-untyped-def]
    text = printed("render", "resolved.conf", "--set", "resolvers=223.5.5.5, 2400:3200::1")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "[Resolve]"
    assert "DNS=223.5.5.5 2400:3200::1" in lines
    # resolved.conf(5), systemd 252
    known = {"DNS", "FallbackDNS", "Domains", "LLMNR", "MulticastDNS", "DNSSEC", "DNSOverTLS", "Cache"}
    known |= {
        "CacheFromLocalhost",
        "DNSStubListener",
        "DNSStubListenerExtra",
        "ReadEtcHosts",
        "ResolveUnicastSingleLabel",
    }
    assert {line.partition("=")[0] for line in lines[1:]} <= known


# -- shells


SHELLS = {
    "dash": ("sh", 'eval "$(cat apply)"', 'eval "$(cat undo)"'),
    "bash": ("sh", 'eval "$(cat apply)"', 'eval "$(cat undo)"'),
    "fish": ("fish", "source apply", "source undo"),
}


@pytest.mark.parametrize("program", list(SHELLS))
def test_env_and_its_undo(program: str, tmp_path: Path, printed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    assert shutil.which(program), f"{program} is missing: scripts/test installs it"
    cache = tmp_path / "a 'cache' with \\ \"all\" $( `x`"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    shell, apply, undo = SHELLS[program]
    (tmp_path / "apply").write_text(printed("env", "--shell", shell))
    (tmp_path / "undo").write_text(printed("env", "--shell", shell, "--undo"))
    show = "env"
    script = "\n".join([undo, apply, apply, show, "echo ====", undo, undo, show])
    before = {"HF_ENDPOINT": "https://old.example $x", "HF_HUB_ETAG_TIMEOUT": ""}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **before}
    run = subprocess.run([program, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    first, last = (
        dict(line.split("=", 1) for line in part.splitlines() if re.match(r"_?\w+=", line))
        for part in run.stdout.split("====\n")
    )
    assert first["HF_ENDPOINT"] == MIRROR
    assert first["HF_HUB_CACHE"] == str(cache)
    assert first["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    assert set(NAMES) <= set(first)
    assert {name: value for name, value in last.items() if name.startswith(("HF_", "_GLM"))} == before


def test_env_for_powershell_by_the_rules_of_its_quoting(printed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_HUB_CACHE", "/a 'b\u2019 $c `d")
    text = printed("env", "--shell", "powershell")
    assert "$Env:HF_HUB_CACHE = '/a ''b\u2019\u2019 $c `d'" in text.splitlines()
    for line in (*text.splitlines(), *printed("env", "--shell", "powershell", "--undo").splitlines()):
        code = re.sub("'(?:[^'\u2019]|''|\u2019\u2019)*'", "''", line) if not line.startswith("#") else ""
        assert code.count("(") == code.count(")")
        assert code.count("'") % 2 == 0
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert code.count("{") == code.count("}")


@pytest.mark.parametrize("name", ["hf-mirror", "hf-mirror.com", MIRROR])
def test_a_mirror_by_its_name(name: str, printed) -> None:  # type: ignore[no-untyped-def]
    assert f"HF_ENDPOINT='{MIRROR}'" in printed("env", "--mirror", name)


# -- what cannot be


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["env", "--mirror", "nobody"], "no mirror"),
        (["env", "--mirror", "modelscope"], "protocol"),
        (["render", "nginx-relay.conf", "--set", "nothing=1"], "its values: upstream"),
        (["render", "aria2.conf", "--set", "split=1"], "its values: none"),
        (["render", "nginx-relay.conf", "--set", "port=0"], "is not a port"),
        (["render", "nginx-relay.conf", "--set", "size=1g; include /etc/passwd"], "is not a size"),
        (["render", "nginx-relay.conf", "--set", "folder=/tmp/a;b"], "is not an absolute path"),
        (["render", "nginx-relay.conf", "--set", "upstream=https://a.b/$x"], "characters"),
        (["render", "nginx-relay.conf", "--set", "upstream=https://a.b/path"], "without a path"),
        (["render", "nginx-relay.conf", "--set", "cdn_hosts=a|b"], "is not a host name"),
        (["render", "nginx-relay.conf", "--set", "resolvers=dns.example"], "is not an IP address"),
        (["render", "nginx-stream.conf"], "to their own names only"),
        (["render", "nginx-stream.conf", "--set", "servers=10.0.0.5"], "host:port"),
        (["render", "gitconfig", "--set", 'mirror=https://a.b/"]'], "characters"),
        (["render", "resolved.conf", "--set", "resolvers=1.1.1.1\nDNSSEC=no"], "is not an IP address"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert out == ""


def test_weights_come_from_what_was_measured(printed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    urls = ("http://10.0.0.5:8000", "http://10.0.0.6:8000", "http://10.0.0.7:8000")
    monkeypatch.setenv("GLM_ARIA_MIRRORS", " ".join((*urls, MIRROR)))
    memory = SourceStats(open_state_dir(CacheLayout.at(tmp_path / "hf" / "hub")))
    fast, slow, liar = (parse_source(url) for url in urls)
    memory.observe(
        {
            fast: (Observation(rate=30e6),),
            slow: (Observation(rate=10e6, connections=8),),
            liar: (Observation(rate=90e6),),
        }
    )
    memory.quarantine(liar, "lied")
    lines = re.findall(r"server (\S+) weight=(\d+)", printed("render", "nginx-stream.conf"))
    assert [place for place, _ in lines] == ["10.0.0.5:8000", "10.0.0.6:8000"]
    assert int(lines[0][1]) / int(lines[1][1]) == pytest.approx(3, rel=0.05)


# -- values of the settings that would be directives

_NGINX = "http://10.0.0.5; } server { listen 0.0.0.0:22222; proxy_pass 127.0.0.1:22; } upstream z { server 10.0.0.6:80"
_ARIA2 = "http://127.0.0.1:1/x\\n  dir=/tmp\\n  out=.bash_login\\nhttp://127.0.0.1:1"


@pytest.mark.parametrize("template", ["nginx-stream.conf", "nginx-relay.conf", "gitconfig"])
@pytest.mark.parametrize("where", ["[[mirror]]\nurl", "[trust]\nroot"])
@pytest.mark.parametrize("url", [_NGINX, _ARIA2, 'https://a.b/"]', "https://a.b/$(id)"])
def test_an_address_of_the_settings_writes_no_directive(
    template: str,
    where: str,
    url: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "config" / "glm-aria" / "config.toml"
    file.parent.mkdir(parents=True)
    quote = "'" if '"' in url else '"'
    file.write_text(f"{where} = {quote}{url}{quote}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert main(["render", template]) == 78
    assert capsys.readouterr().out == ""


def test_a_mirror_of_a_variable_writes_no_directive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_ARIA_MIRRORS", "http://10.0.0.5;include=/etc/passwd;#")
    assert main(["render", "nginx-stream.conf"]) == 78
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("entry", [{"uris": ["http://a/x\n  out=y"]}, {"dir": "a\n  out=y"}, {"out": "a\rb"}])
def test_the_input_file_of_aria2_takes_words_only(entry: dict[str, object]) -> None:
    whole = {"uris": ["http://a/x"], "dir": "d", "out": "o", "sha256": None}
    assert "  out=o" in templating.render("aria2.input", version="1", models=[], entries=[whole])
    with pytest.raises(ConfigError):
        templating.render("aria2.input", version="1", models=[], entries=[whole | entry])


def test_a_path_of_certificates_writes_no_option_of_aria2() -> None:
    values = {"port": 1, "secret": "x", "concurrency": 1, "owner_pid": None, "max_speed": 0, "resolvers": []}
    values |= {"log_level": "error", "open_files": 1024}
    with pytest.raises(ConfigError):
        templating.render("daemon.conf", ca_bundle="/a\non-download-complete=/bin/sh", **values)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("nginx-relay.conf", "listen=0.0.0.0:80"),
        ("nginx-relay.conf", "listen=1.2.3.4;"),
        ("nginx-relay.conf", "resolvers=1.1.1.1:99999"),
        ("nginx-relay.conf", "resolvers=9.9.9.9.9"),
        ("nginx-relay.conf", "resolvers=[::1%a;b]"),
        ("nginx-stream.conf", "servers=10.0.0.5:99999"),
        ("nginx-stream.conf", "servers=10.0.0.5:80=0"),
        ("nginx-stream.conf", "servers=a;b:80"),
        ("resolved.conf", "resolvers=9.9.9"),
    ],
)
def test_values_that_no_such_program_takes(name: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", name, "--set", given]) == 2
    assert capsys.readouterr().out == ""


def test_what_holds_without_a_set_passes_the_same_rule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder of a cache with a quote in its name, and a program in a folder with a semicolon."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / 'a";b'))
    assert main(["render", "nginx-relay.conf"]) == 2
    assert "--set folder=" in capsys.readouterr().err
    odd = tmp_path / "b;in"
    odd.mkdir()
    (odd / "nginx").write_text("#!/bin/sh\n")
    (odd / "nginx").chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{odd}:{os.environ['PATH']}")
    assert main(["render", "nginx.service"]) == 2
    assert "--set nginx=" in capsys.readouterr().err


def test_a_template_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the server is made for anybody who asks; compiling it took 30 ms in which nobody else got an answer."""
    first = templating.render("env.sh", undo=True, variables=NAMES)
    monkeypatch.setattr(jinja2.Environment, "compile", None)
    assert templating.render("env.sh", undo=True, variables=NAMES) == first
