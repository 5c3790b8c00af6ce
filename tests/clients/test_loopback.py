"""Every client against the loopback Hub itself: what these need is what the Hub has to answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.client import Client, Download, Outcome, Protocol
from tests.clients.judge import Verdict, assert_right, content_of, judge
from tests.clients.table import CLIENTS, DATASET_CLIENTS, GIT, PLAIN
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape

BY_NAME = {client.name: client for client in (*CLIENTS, *DATASET_CLIENTS)}
SLOW = Shape(total_rate=2.5e6)


@dataclass(frozen=True, slots=True)
class Served:
    """A Hub with a ModelScope beside it, and how a client gets something from either."""

    hub: LoopbackHub
    modelscope: str

    def download(self, client: Client, repo: Repo, home: Path, token: str | None = None) -> Download:
        if client.speaks is Protocol.MODELSCOPE:
            return Download(self.modelscope, repo, home, "master", token)
        return Download(self.hub.url, repo, home, token=token)

    def cdn(self, client: Client) -> str:
        """The face that large files come from."""
        return "modelscope-cdn" if client.speaks is Protocol.MODELSCOPE else "cdn"


@pytest.fixture
def served() -> Iterator[Served]:
    with LoopbackHub(tokens={"hf_in": {"org/closed"}}) as hub:
        # An error in a 200 is an empty repository to modelscope-hub 0.5, which then ends with exit code 0.
        yield Served(hub, hub.modelscope(errors_in_200=False).url)


def content(repo: Repo) -> Mapping[str, str]:
    return content_of(repo.commits[repo.head])


@pytest.mark.clients(CLIENTS, short=8)
def test_a_model_arrives_whole_and_is_found_again(client: Client, served: Served, model: Repo, tmp_path: Path) -> None:
    served.hub.add(model)
    download = served.download(client, model, tmp_path)
    assert_right(client, client.run(download), content(model))
    again = client.run(download)
    assert judge(client, again, content(model)) is Verdict.RIGHT or not client.can_repeat
    assert again.files.items() <= content(model).items()


@pytest.mark.clients(DATASET_CLIENTS)
def test_the_rows_of_a_dataset_are_read(
    client: Client, served: Served, dataset: tuple[Repo, Mapping[str, str]], tmp_path: Path
) -> None:
    repo, rows = dataset
    served.hub.add(repo)
    assert_right(client, client.run(served.download(client, repo, tmp_path)), rows)


@pytest.mark.clients(CLIENTS, short=3)
def test_one_that_was_killed_goes_on(client: Client, served: Served, model: Repo, tmp_path: Path) -> None:
    served.hub.add(model)
    cdn = served.cdn(client)
    served.hub.faces[cdn].shape = SLOW
    download = served.download(client, model, tmp_path)
    running = client.start(download)
    assert served.hub.log.wait_for(lambda log: log.bytes_sent(face=cdn) > 1_500_000, timeout_s=60)
    assert running.kill().returncode != 0
    served.hub.faces[cdn].shape = Shape()
    assert_right(client, client.run(download), content(model))


CANNOT = {
    "transformers": "reads no repository that is no model",
    "node": "asks for the first byte of every file, which an empty one has not",
    "modelscope-1.37": "sends its token to www.modelscope.cn alone",
}


@pytest.mark.clients([row for row in CLIENTS if row.name not in CANNOT], short=2)
def test_an_empty_file_and_a_closed_repo(client: Client, served: Served, tmp_path: Path) -> None:
    files: dict[str, bytes] = {"config.json": b"{}", "empty.txt": b"", "w.safetensors": b"w" * 9_000}
    repo = served.hub.add(Repo("model", "org/closed", files, private=True))
    refused = client.run(served.download(client, repo, tmp_path / "stranger"))
    assert judge(client, refused, content(repo)) is Verdict.FAILED
    token = served.download(client, repo, tmp_path / "friend", "hf_in")
    assert_right(client, client.run(token), content(repo))


@pytest.mark.clients(CLIENTS, short=2)
@pytest.mark.parametrize("kind", ["truncated", "reset", "status", "rate_limited"])
def test_a_connection_that_is_cut_or_refused_once(
    client: Client, kind: str, served: Served, model: Repo, tmp_path: Path
) -> None:
    """They try again or say that they failed: nobody shows half of a file with exit code 0."""
    served.hub.add(model)
    served.hub.fault(Fault(kind, "*.safetensors", times=1, status=503), face=served.cdn(client))
    judge(client, client.run(served.download(client, model, tmp_path)), content(model))
    assert served.hub.faces[served.cdn(client)].faults.fired() == 1


def test_git_gets_pointers(served: Served, model: Repo, tmp_path: Path) -> None:
    served.hub.add(model)
    cloned = GIT.run(served.download(GIT, model, tmp_path))
    assert cloned.returncode == 0, cloned.output
    assert {path for path in cloned.files if cloned.files[path] != content(model)[path]} == {
        path for path in content(model) if path.endswith(".safetensors")
    }


@pytest.mark.clients(PLAIN, short=("curl",))
def test_whoever_hashes_nothing_is_caught_with_what_a_liar_sent(
    client: Client, served: Served, model: Repo, tmp_path: Path
) -> None:
    served.hub.add(model)
    served.hub.fault(Fault("bit_flip", "*.safetensors"), face="cdn")
    outcome = client.run(served.download(client, model, tmp_path))
    assert outcome.returncode == 0
    with pytest.raises(AssertionError, match="exit code 0 and wrong files"):
        judge(client, outcome, content(model))


def test_the_judge_looks_at_what_is_missing_and_forgives_who_says_so() -> None:
    client = BY_NAME["transformers"]
    whole = {"config.json": "1", "tokenizer.json": "2", "a.safetensors": "3", "README.md": "4"}
    loaded = {path: digest for path, digest in whole.items() if path != "README.md"}
    assert judge(client, Outcome(0, loaded, ""), whole) is Verdict.RIGHT
    assert judge(client, Outcome(1, {"config.json": "other"}, ""), whole) is Verdict.FAILED
    with pytest.raises(AssertionError, match=r"without \['a.safetensors'\]"):
        judge(client, Outcome(0, {"config.json": "1", "tokenizer.json": "2"}, ""), whole)
    silent = BY_NAME["modelscope-hub-0.4"]
    assert judge(silent, Outcome(0, loaded, "1 file(s) failed to download"), whole) is Verdict.FAILED
    with pytest.raises(AssertionError, match=r"without \['README.md'\]"):
        judge(silent, Outcome(0, loaded, ""), whole)
