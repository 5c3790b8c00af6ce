"""Whose word counts: every policy and level, liars among catalogs, proofs from a commit, commits that go back."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lies import DOWN, disguised, edited, forged
from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, Result, content

FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": generate(1 << 20, 9), "code/model.py": b"import os\n" * 50}


def pull(machine: Machine, *words: str, mirrors: tuple[Site, ...] = (), root: str = DOWN, **options: Any) -> Result:
    """Pull org/m (unless the words name another ref) from these mirrors; by default the root is down."""
    named = [word for site in mirrors for word in ("--mirror", site.url)]
    refs = [] if any("org/m" in word for word in words) else ["org/m"]
    return machine.run("pull", *refs, "--root", root, "--json", *named, *words, **options)


def is_placed(machine: Machine, repo: Repo, commit: str | None = None) -> bool:
    commit = commit or repo.head
    return content(machine.snapshot("model/org/m", commit)) == wanted(repo, commit)


def nothing_happened(machine: Machine, hub: LoopbackHub) -> None:
    assert sent(hub) == []
    assert not (machine.cache / "models--org--m").exists()


# -- the root


def test_the_root_is_believed_where_it_answers(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    liar = hub.mirror("liar", faults=[edited(forged)])
    done = pull(machine, mirrors=(liar,), root=hub.url).ended(0)
    assert done.model["trust"] == {"level": "root", "source": hub.url, "confirmed_by": []}
    assert is_placed(machine, repo)
    assert not hub.log.requests(face="liar", path="*/tree/*"), "a mirror's listing is nobody's business"


def test_the_root_or_nothing(machine: Machine, hub: LoopbackHub) -> None:
    near, far = hub.mirror("near"), hub.mirror("far", host="localhost")
    done = pull(machine, "--trust", "root", mirrors=(near, far)).ended(81)
    assert done.error["code"] == "trust"
    assert "--trust any" in done.error["hint"]
    nothing_happened(machine, hub)
    assert not hub.log.requests()


# -- agreement


def test_two_mirrors_that_agree(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near, far = hub.mirror("near"), hub.mirror("far")
    done = pull(machine, mirrors=(near, far)).ended(0)
    assert done.model["trust"] == {"level": "agree", "source": near.url, "confirmed_by": [far.url]}
    assert done.warnings == []
    assert is_placed(machine, repo)
    human = machine.run("pull", "org/m", "--root", DOWN, "--mirror", near.url, "--mirror", far.url).ended(0)
    assert f"every digest agreed by {near.url} and {far.url}, without the root" in human.err
    assert pull(machine, "--offline").ended(0).model["trust"]["level"] == "agree"
    assert "not enough for --trust root" in pull(machine, "--offline", "--trust", "root").ended(81).error["message"]


def test_one_mirror_is_not_enough(machine: Machine, hub: LoopbackHub) -> None:
    near = hub.mirror("near")
    done = pull(machine, mirrors=(near,)).ended(81)
    assert f"--root {near.url}" in done.error["hint"]
    assert "--trust any" in done.error["hint"]
    nothing_happened(machine, hub)


def test_mirrors_that_disagree(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near, far = hub.mirror("near"), hub.mirror("liar", faults=[edited(forged)])
    done = pull(machine, mirrors=(near, far)).ended(81)
    assert "'model.safetensors'" in done.error["message"]
    nothing_happened(machine, hub)
    third = hub.mirror("third")
    done = pull(machine, mirrors=(far, near, third)).ended(0)
    assert done.model["trust"]["source"] == near.url
    assert done.warnings == ["mirror-lied"]
    assert done.document["warnings"][0]["file"] == "model.safetensors"
    assert is_placed(machine, repo)


def test_modelscope_vouches_for_lfs_files_only(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near, scope = hub.mirror("near"), hub.modelscope()
    mirrors = ("--mirror", f"modelscope+{scope.url}")
    done = pull(machine, *mirrors, mirrors=(near,)).ended(81)
    assert "cannot be compared" in done.error["message"]
    nothing_happened(machine, hub)
    done = pull(machine, "--include", "*.safetensors", *mirrors, mirrors=(near,)).ended(0)
    assert done.model["trust"] == {"level": "agree", "source": near.url, "confirmed_by": [scope.url]}
    assert [file["path"] for file in done.model["files"]] == ["model.safetensors"]
    # Of the other files nobody but the mirror has spoken.
    pull(machine, "--include", "*.json", "--offline").ended(81)


# -- a single mirror


def test_any_single_mirror(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near = hub.mirror("near")
    done = pull(machine, "--trust", "any", mirrors=(near,)).ended(0)
    assert done.model["trust"] == {"level": "single", "source": near.url, "confirmed_by": []}
    assert done.warnings == ["single-source"]
    assert is_placed(machine, repo)
    pull(machine, "--trust", "any", "--strict", mirrors=(near,)).ended(100)
    pull(machine, "--offline").ended(81)
    pull(machine, "--offline", "--trust", "any").ended(0)


def test_modelscope_refs_work_by_themselves(machine: Machine, hub: LoopbackHub) -> None:
    scope = f"modelscope+{hub.modelscope().url}"
    done = pull(machine, "ms://org/m", "--mirror", scope, root=hub.url).ended(0)
    assert done.model["trust"]["level"] == "single"
    pull(machine, "ms://org/m", "--mirror", scope, "--trust", "root", root=hub.url).ended(81)
    pull(machine, "ms://org/m", "--mirror", scope, "--trust", "commit", root=hub.url).ended(81)
    pull(machine, "ms://org/m", "--mirror", scope, "--offline", root=hub.url).ended(0)


# -- proof from a commit


def gits_view(folder: Path, url: str, commit: str) -> dict[str, str]:
    """Path -> blob id, as the real git sees the commit after an ordinary clone."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "NO_PROXY": "*"}
    for words in (["clone", "--quiet", "--bare", url, "c"], ["-C", "c", "ls-tree", "-r", "-z", "--full-tree", commit]):
        run = subprocess.run(
            ["git", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True
        )
    entries = (line.split("\t", 1) for line in run.stdout.split("\0") if line)
    return {path: meta.split()[2] for meta, path in entries}


def test_a_mirror_alone_is_proven_by_the_commit(machine: Machine, hub: LoopbackHub, repo: Repo, tmp_path: Path) -> None:
    near = hub.mirror("near")
    pinned = repo.head
    repo.commit({"config.json": b"later"})
    done = pull(machine, f"org/m@{pinned}", "--trust", "commit", mirrors=(near,)).ended(0)
    assert done.model["trust"] == {"level": "commit", "source": near.url, "confirmed_by": [near.url]}
    assert done.warnings == []
    assert is_placed(machine, repo, pinned)
    assert hub.log.requests(face="near", path="/org/m/git-upload-pack")
    assert hub.log.bytes_sent(face="near", path="/org/m/git-upload-pack") < 4096
    assert not hub.log.requests(face="hub")
    assert not hub.log.tokens()
    (record,) = (machine.hf_home / "glm-aria" / "repos" / "models--org--m").glob(f"{pinned}.json")
    proven = {path: oid for path, _, _, _, oid in json.loads(record.read_text())["files"]}
    assert proven == gits_view(tmp_path, f"{hub.url}/org/m", pinned)
    human = machine.run("pull", f"org/m@{pinned}", "--trust", "commit", "--root", DOWN, "--mirror", near.url).ended(0)
    assert f"verified by the commit itself: listed by {near.url}" in human.err


LIES = [
    ("forged", edited(forged), "model.safetensors"),
    ("disguised", edited(disguised), "model.safetensors"),
]


@pytest.mark.parametrize(("lie", "path"), [row[1:] for row in LIES], ids=[row[0] for row in LIES])
def test_a_listing_that_the_commit_refutes(
    machine: Machine, hub: LoopbackHub, repo: Repo, lie: Fault, path: str
) -> None:
    liar = hub.mirror("liar", faults=[lie])
    name = liar.url.removeprefix("http://")
    pinned = f"org/m@{repo.head}"
    done = pull(machine, pinned, "--trust", "commit", mirrors=(liar,)).ended(81)
    assert name in done.error["message"]
    assert f"'{path}'" in done.error["message"]
    nothing_happened(machine, hub)
    done = pull(machine, pinned, "--trust", "commit", mirrors=(liar, hub.mirror("honest"))).ended(0)
    assert done.warnings == ["mirror-lied"]
    assert (done.document["warnings"][0]["mirror"], done.document["warnings"][0]["file"]) == (name, path)
    assert done.model["trust"]["level"] == "commit"
    assert is_placed(machine, repo)


def test_the_root_too_has_to_prove_it(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    hub.fault(edited(forged))
    pull(machine, f"org/m@{repo.head}", "--trust", "commit", "--no-mirrors", root=hub.url).ended(81)
    hub.clear_faults()
    done = pull(machine, f"org/m@{repo.head}", "--trust", "commit", "--no-mirrors", root=hub.url).ended(0)
    assert done.model["trust"] == {"level": "commit", "source": hub.url, "confirmed_by": [hub.url]}
    assert not hub.log.tokens(path="*/info/refs")
    assert not hub.log.tokens(path="*/git-upload-pack")


def test_git_objects_from_one_and_the_listing_from_another(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    gitless = hub.mirror("gitless", faults=[Fault("status", "*/info/refs", status=404)])
    done = pull(machine, f"org/m@{repo.head}", "--trust", "commit", mirrors=(gitless,)).ended(81)
    assert "no site sent its git objects" in done.error["message"]
    assert "--mirror" in done.error["hint"]
    nothing_happened(machine, hub)
    near = hub.mirror("near")
    done = pull(machine, f"org/m@{repo.head}", "--trust", "commit", mirrors=(gitless, near)).ended(0)
    assert done.model["trust"] == {"level": "commit", "source": gitless.url, "confirmed_by": [near.url]}


def test_without_git_there_is_no_proof(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near = hub.mirror("near")
    bare = machine.folder / "bin"
    bare.mkdir()
    done = pull(machine, f"org/m@{repo.head}", "--trust", "commit", mirrors=(near,), env={"PATH": str(bare)}).ended(81)
    assert "install git" in done.error["hint"]


def test_a_renamed_repo_is_proven_under_its_new_name(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/new", FILES, renamed_from=("org/m",))
    hub = make_hub(repo)
    done = pull(machine, f"org/m@{repo.head}", "--trust", "commit", mirrors=(hub.mirror("near"),)).ended(0)
    assert "renamed" in done.warnings
    assert is_placed(machine, repo)


def test_datasets_are_proven_too(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("dataset", "org/d", FILES)
    hub = make_hub(repo)
    words = ("pull", f"datasets/org/d@{repo.head}", "--trust", "commit", "--json", "--root", DOWN)
    assert machine.run(*words, "--mirror", hub.mirror("near").url).ended(0).model["trust"]["level"] == "commit"


def test_git_reads_no_settings_of_the_user(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    near = hub.mirror("near")
    trap = machine.folder / "trap"
    (machine.home / ".gitconfig").write_text(
        f'[url "{DOWN}/"]\n\tinsteadOf = {near.url}/\n[credential]\n\thelper = "!touch {trap}"\n'
        f'[http]\n\textraHeader = "Authorization: Bearer {machine.token}"\n'
    )
    host = near.url.removeprefix("http://").partition(":")[0]
    (machine.home / ".netrc").write_text(f"machine {host} login u password {machine.token}\n")
    env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.proxy", "GIT_CONFIG_VALUE_0": DOWN}
    pull(machine, f"org/m@{repo.head}", "--trust", "commit", mirrors=(near,), env=env).ended(0)
    assert not [seen for seen in hub.log.requests() if seen.authorization]
    assert not trap.exists()
    for name in (".gitconfig", ".netrc"):
        (machine.home / name).unlink()
    assert list((machine.folder / "tmp").glob("glm-aria-git-*")) == []


# -- commits that go back


def test_a_branch_does_not_go_back(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    old = repo.head
    pull(machine, root=hub.url).ended(0)
    new = repo.commit({"config.json": b"fixed"})
    assert pull(machine, root=hub.url).ended(0).model["commit"] == new
    repo.branch("main", old)
    done = pull(machine, root=hub.url).ended(81)
    assert "--allow-rollback" in done.error["hint"]
    assert old[:12] in done.error["message"]
    assert machine.run("plan", "org/m", "--root", hub.url, "--json").ended(81)
    assert (machine.cache / "models--org--m" / "refs" / "main").read_text() == new
    done = pull(machine, "--allow-rollback", root=hub.url).ended(0)
    assert done.warnings == ["rolled-back"]
    assert done.model["commit"] == old
    assert pull(machine, root=hub.url).ended(0).warnings == [], "what was accepted is not asked about again"
    repo.branch("main", new)
    assert pull(machine, root=hub.url).ended(0).model["commit"] == new, "forward again"


def test_a_tag_that_moves_is_told(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    first = repo.tag("v1")
    pull(machine, "org/m@v1", root=hub.url).ended(0)
    second = repo.commit({"config.json": b"2"})
    repo.tag("v1")
    done = pull(machine, "org/m@v1", root=hub.url).ended(0)
    assert (done.warnings, done.model["commit"]) == (["tag-moved"], second)
    repo.tag("v1", first)
    assert pull(machine, "org/m@v1", root=hub.url).ended(0).warnings == ["tag-moved"]
    assert pull(machine, "org/m@v1", root=hub.url).ended(0).warnings == []


# -- settings


def test_a_working_directory_may_raise_the_policy_only(machine: Machine, hub: LoopbackHub) -> None:
    file = machine.work / "glm-aria.toml"
    file.write_text('[trust]\npolicy = "any"\n')
    done = pull(machine, mirrors=(hub.mirror("near"),)).ended(78)
    assert "must not lower" in done.error["message"]
    file.write_text('[trust]\npolicy = "root"\n')
    pull(machine, mirrors=(hub.mirror("far"), hub.mirror("farther"))).ended(81)
    nothing_happened(machine, hub)


def test_two_mirrors_of_a_working_directory_do_not_agree_on_anything(machine: Machine, hub: LoopbackHub) -> None:
    """Whoever wrote the file would name both. The user's own word makes mirrors of them."""
    hub.fault(Fault("status", "/api/models/*"))
    file = machine.work / "glm-aria.toml"
    urls = [hub.mirror(name).url for name in ("near", "far")]
    file.write_text("".join(f'[[mirror]]\nurl = "{url}"\n' for url in urls))
    env = {"HF_HUB_ETAG_TIMEOUT": "1"}
    for policy in ("agree", "any"):
        machine.run("pull", "org/m", "--json", "--trust", policy, "--root", hub.url, env=env).ended(75)
    nothing_happened(machine, hub)
    done = machine.run("pull", "org/m", "--json", "--root", hub.url, "--config", str(file), env=env).ended(0)
    assert done.model["trust"]["level"] == "agree"


@pytest.mark.parametrize("policy", ["agree", "root"])
def test_a_working_directory_chooses_neither_root_nor_cache(machine: Machine, hub: LoopbackHub, policy: str) -> None:
    evil = hub.mirror("evil")
    file = machine.work / "glm-aria.toml"
    leak = machine.folder / "leak"
    leak.mkdir(mode=0o777)
    for text in (f'[trust]\nroot = "{evil.url}"\n', f'[cache]\ndir = "{leak}/$HF_TOKEN/hub"\n'):
        file.write_text(text)
        done = machine.run("pull", "org/m", "--json", env={"GLM_ARIA_TRUST": policy}).ended(78)
        assert "--config" in done.error["hint"]
    assert list(leak.iterdir()) == []
    nothing_happened(machine, hub)


def test_a_file_that_came_with_a_model_is_no_settings(machine: Machine, make_hub: MakeHub) -> None:
    files = {"config.json": b"{}", "glm-aria.toml": b'[transfer]\nmax_speed = "1K"\n'}
    hub = make_hub(Repo("model", "org/with", files))
    machine.root = hub.url
    done = machine.pull("org/with", "--local-dir", "m2").ended(0)
    assert (machine.work / "m2" / "glm-aria.toml").read_bytes() == files["glm-aria.toml"], "the model is whole"
    machine.run("cache", "link", "org/with", "m3", "--layout", "flat").ended(0)
    for folder in (machine.work / "m2", machine.work / "m3", Path(done.model["snapshot"])):
        under = ("sh", "-c", 'cd "$0" && exec "$@"', str(folder))
        shown = machine.run("config", "show", "--json", under=under).ended(0)
        assert shown.warnings == ["settings-ignored"], folder
        assert shown.document["data"]["settings"]["max_speed"]["value"] is None
