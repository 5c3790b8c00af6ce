"""Sources by digest: what another catalog lists with the same digest is fetched from there, too."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Result, content

WEIGHTS = {f"model-{n}.safetensors": generate(10 * MIB, n) for n in (1, 2)}
FILES = {"config.json": b'{"a": 1}\n', "README.md": b"of the Hub\n", **WEIGHTS}
SLOW = Shape(total_rate=8 * MIB)


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo, cdn_shape=SLOW)


def sources(done: Result) -> dict[str, set[str]]:
    return {file["path"]: set(file["sources"]) for file in done.model["files"]}


def alias(machine: Machine, there: str = "OrgMS/m") -> None:
    machine.own_settings(f'[aliases]\n"org/m" = "{there}"\n')


def elsewhere(**files: bytes) -> Repo:
    """The model as ModelScope has it: weights in a folder, documents of its own, and what is given."""
    names = {f"weights/{path}": data for path, data in WEIGHTS.items()}
    return Repo("model", "OrgMS/m", {"README.md": b"of ModelScope\n", "configuration.json": b"{}", **names, **files})


def pull(
    machine: Machine, hub: LoopbackHub, *words: str, held: str = "cdn", until: Callable[[RequestLog], bool]
) -> Result:
    """A pull, to its end. One source sends nothing until others have sent enough: which a short pull uses is chance."""
    with hub.held(held):
        running = machine.start_pull(*words)
        assert hub.log.wait_for(until, 30)
    return running.end().ended(0)


def used(log: RequestLog) -> bool:
    """ModelScope has sent more than a probe takes."""
    return log.bytes_sent(face="modelscope-cdn") > 2 * MIB


def test_bytes_of_a_hub_model_from_modelscope(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    there = hub.modelscope(repos=[elsewhere()], shape=SLOW)
    alias(machine)
    done = pull(machine, hub, "org/m", "--mirror", f"modelscope+{there.url}", until=used)
    assert done.warnings == []
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    name = there.url.removeprefix("http://")
    for path in WEIGHTS:
        assert name in sources(done)[path]
    assert name not in sources(done)["config.json"]
    # Both at the same time, each with its own share; nothing twice.
    hub.log.settle()
    shares = [hub.log.bytes_sent(face=face, method="GET") for face in ("cdn", "modelscope-cdn")]
    assert min(shares) > 2 * MIB
    assert sum(shares) < 30 * MIB  # what was on its way when a range changed hands came for nothing
    first = {face: hub.log.requests(face=face, method="GET")[0] for face in ("cdn", "modelscope-cdn")}
    ends = [max(seen.end or 0 for seen in hub.log.requests(face=face, method="GET")) for face in first]
    assert max(seen.start for seen in first.values()) < min(ends)
    assert hub.log.tokens(face="modelscope") == hub.log.tokens(face="modelscope-cdn") == set()


def test_the_same_name_is_tried_without_an_alias(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    there = hub.modelscope()
    done = pull(machine, hub, "org/m", "--mirror", f"modelscope+{there.url}", until=used)
    assert done.warnings == []
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_model_that_modelscope_does_not_have(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    there = hub.modelscope(repos=[Repo("model", "other/one", {"a.bin": b"a"})])
    done = machine.pull("org/m", "--mirror", f"modelscope+{there.url}").ended(0)
    assert done.warnings == []
    alias(machine)
    done = machine.pull("org/m", "--force", "--mirror", f"modelscope+{there.url}").ended(0)
    (warning,) = done.document["warnings"]
    assert (warning["code"], "OrgMS/m" in warning["message"]) == ("mirror-differs", True)


def test_a_repo_that_only_has_the_name(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    there = hub.modelscope(repos=[Repo("model", "org/m", {"pytorch_model.bin": b"x" * MIB})])
    done = machine.pull("org/m", "--mirror", f"modelscope+{there.url}").ended(0)
    assert done.warnings == []
    assert hub.log.requests(face="modelscope-cdn") == []


def test_a_mirror_that_is_behind_helps_with_what_matches(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    stale = elsewhere(**{"model-1.safetensors": generate(10 * MIB, 77)})
    stale.commit(remove=("weights/model-1.safetensors",))
    there = hub.modelscope(repos=[stale])
    alias(machine)
    done = pull(
        machine,
        hub,
        *("org/m", "--mirror", f"modelscope+{there.url}"),
        until=lambda log: log.bytes_sent(face="modelscope-cdn", file="weights/model-2*") > MIB,
    )
    (warning,) = done.document["warnings"]
    assert warning["code"] == "mirror-differs"
    assert warning["mirror"] == there.url.removeprefix("http://")
    assert "other content for 'model-1.safetensors'" in warning["message"]
    assert hub.log.requests(face="modelscope-cdn", method="GET", file="*model-1*") == []
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_mirror_that_lists_another_size(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    def edit(answer: Any) -> Any:
        for entry in answer["Data"].get("Files", ()):
            entry["Size"] += 5 if entry["Name"] == "model-1.safetensors" else 0
        return answer

    there = hub.modelscope(repos=[elsewhere()], faults=[Fault("lying_listing", "*/repo/files", edit=edit)])
    alias(machine)
    done = machine.pull("org/m", "--mirror", f"modelscope+{there.url}").ended(0)
    (warning,) = done.document["warnings"]
    assert "another size for 'model-1.safetensors'" in warning["message"]
    assert hub.log.requests(face="modelscope-cdn", method="GET", file="*model-1*") == []
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_catalog_that_hangs_delays_nothing(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    make_hub(repo)
    begun = time.monotonic()
    machine.pull("org/m").ended(0)
    alone = time.monotonic() - begun
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"modelscope+http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        machine.pull("org/m", "--force", "--mirror", mirror).ended(0)
        # Its four seconds of patience are not waited for. What else the machine does may double the time of the rest.
        assert time.monotonic() - begun < 2 * alone + 2.5
        silent.settimeout(0)
        silent.accept()[0].close()  # it was asked
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_the_end_waits_for_no_answer_that_nobody_needs(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    """The root asks for patience, and the mirror has everything meanwhile: the root is not asked once more."""
    hub.fault(Fault("rate_limited", "*/resolve/*", retry_after_s=15))
    machine.pull("org/m", "--mirror", hub.mirror("near").url).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    asked = [seen.path for seen in hub.log.requests(face="hub", path="*/resolve/*")]
    assert asked
    assert len(asked) == len(set(asked))


def test_a_catalog_that_is_down_is_told_once(machine: Machine, hub: LoopbackHub) -> None:
    there = hub.modelscope(faults=[Fault("status", status=503)])
    (machine.work / "two.txt").write_text("org/m\norg/other\n")
    hub.add(Repo("model", "org/other", {"b.bin": generate(9 * MIB, 5)}))
    done = machine.pull("-f", "two.txt", "--mirror", f"modelscope+{there.url}").ended(0)
    assert done.warnings == ["mirror-down"]


def test_a_lying_modelscope_is_done_without(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    there = hub.modelscope(cdn_faults=[Fault("substitute")])
    done = machine.pull("org/m", "--mirror", f"modelscope+{there.url}").ended(0)
    assert "mirror-lied" in done.warnings
    assert {warning["mirror"] for warning in done.document["warnings"]} == {there.url.removeprefix("http://")}
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


@pytest.mark.parametrize("closed", [{"gated": "manual"}, {"private": True}])
def test_closed_repos_are_not_named_to_others(machine: Machine, make_hub: MakeHub, closed: dict[str, Any]) -> None:
    hub = make_hub(Repo("model", "org/closed", FILES, **closed), opens=["org/closed"])
    there = hub.modelscope()
    machine.pull("org/closed", "--mirror", f"modelscope+{there.url}").ended(0)
    assert hub.log.requests(face="modelscope") == []


def test_no_mirrors_and_nothing_to_fetch_ask_nobody(machine: Machine, hub: LoopbackHub) -> None:
    there = hub.modelscope()
    mirror = ("--mirror", f"modelscope+{there.url}")
    machine.pull("org/m", "--no-mirrors", env={"GLM_ARIA_MIRRORS": f"modelscope+{there.url}"}).ended(0)
    machine.pull("org/m", *mirror).ended(0)
    assert hub.log.requests(face="modelscope") == []


def test_a_modelscope_model_from_the_hub(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo, cdn_shape=SLOW)
    there = hub.modelscope(repos=[elsewhere()], shape=SLOW)
    near = hub.mirror("near", shape=SLOW)
    alias(machine)
    done = pull(
        machine,
        hub,
        *("ms://OrgMS/m", "--mirror", f"modelscope+{there.url}", "--mirror", near.url),
        held="modelscope-cdn",
        until=lambda log: log.bytes_sent(face="cdn") > MIB and log.bytes_sent(face="near", file="model-*") > MIB,
    )
    assert done.warnings == []
    for path, data in WEIGHTS.items():
        assert (machine.snapshot("model/OrgMS/m", done.model["commit"]) / "weights" / path).read_bytes() == data


def test_a_repo_beyond_the_cap_of_the_listing(machine: Machine, hub: LoopbackHub) -> None:
    many = {f"d{n % 3}/{n:05d}.txt": b"%d" % n for n in range(3600)}
    there = hub.modelscope(repos=[elsewhere(**many)])
    alias(machine)
    done = pull(machine, hub, "org/m", "--mirror", f"modelscope+{there.url}", until=used)
    assert done.warnings == []
