"""A kind of catalog that no room knows: registered, it is named, listed, proven, locked and fetched from like any."""

from __future__ import annotations

import json
import sys

import pytest

from tests.catalogs.depot import DEPOT, depot_url, own_id
from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content

FILES = {"config.json": b"{}\n", "model.safetensors": generate(12 * MIB, 1), "part/er.bin": generate(MIB, 2)}
KNOWN = (sys.executable, "-m", "tests.catalogs.depot")
"""What starts the command with the kind known to it."""


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo, cdn_shape=Shape(total_rate=8 * MIB))


def test_its_models_are_pulled_and_locked(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    mirror, commit = f"depot+{depot_url(hub)}", own_id(repo.commits[repo.head])
    done = machine.pull("depot://org/m", "--mirror", mirror, "--lock", "the.lock", under=KNOWN).ended(0)
    assert (done.model["ref"], done.model["commit"]) == ("depot://org/m@trunk", commit)
    assert content(machine.snapshot("model/org/m", commit)) == wanted(repo)
    assert hub.log.tokens(face="depot") == set()
    assert f'ref = "depot://org/m@{DEPOT.main}"' in (machine.work / "the.lock").read_text()
    again = machine.pull("--locked", "the.lock", "--mirror", mirror, "--force", under=KNOWN).ended(0)
    assert again.model["commit"] == commit


def test_its_sites_send_bytes_of_a_hubs_model(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    done = machine.pull("org/m", "--mirror", f"depot+{depot_url(hub)}", under=KNOWN).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert done.warnings == []
    assert hub.log.bytes_sent(face="depot") > MIB


def test_it_confirms_a_mirror_where_the_root_is_down(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", {"model.safetensors": generate(MIB, 3)})
    hub = make_hub(repo)
    mirrors = ("--mirror", hub.mirror("near").url, "--mirror", f"depot+{depot_url(hub)}")
    hub.stop_face("hub")
    done = machine.pull("org/m", *mirrors, under=KNOWN).ended(0)
    assert done.model["trust"]["level"] == "agree"


def test_it_is_shown_and_probed_by_its_name(machine: Machine, hub: LoopbackHub) -> None:
    machine.own_settings(f'[[mirror]]\nname = "store"\nkind = "depot"\nurl = "{depot_url(hub)}"\n')
    shown = machine.run("config", "show", "--json", under=KNOWN).ended(0)
    assert [mirror["kind"] for mirror in _value(shown.out, "mirrors")] == ["depot"]
    probed = machine.run("mirrors", "probe", "depot://org/m", "--root", hub.url, "--json", under=KNOWN).ended(0)
    found = next(source for source in probed.document["data"]["sources"] if source["name"] == "store")
    assert (found["kind"], found["commit"]) == ("depot", "fresh")


def test_a_kind_without_a_site_is_told_of(machine: Machine) -> None:
    refused = machine.run("pull", "depot://org/m", "--json", under=KNOWN).ended(2)
    assert refused.error["hint"] == "name one with --mirror depot+URL"


def test_a_kind_that_nobody_registered_is_none(machine: Machine) -> None:
    refused = machine.run("pull", "depot://org/m", "--json").ended(2)
    assert "hf://, ms://, oci://, reg:// and mlflow:// are known" in refused.error["hint"]


def _value(out: str, key: str) -> list[dict[str, str]]:
    found = json.loads(out)["data"]["settings"][key]["value"]
    assert isinstance(found, list)
    return found
