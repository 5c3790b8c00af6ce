"""The result as text and as the JSON document of the contract."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli.views.pull import print_pull
from orchestrator.core.trust import Trust
from orchestrator.errors import NotFoundError, SourcesDownError
from orchestrator.events import ModelPhase, Notice, Phase
from orchestrator.pulling.document import PullDocument
from orchestrator.pulling.report import FileReport, FileState
from tests.cli.builders import COMMIT, CONFIG, WEIGHTS, done, failed, plan_of, report, telling

SNAPSHOT = f"/cache/models--org--name/snapshots/{COMMIT}"
NOTICE = Notice("mirror-lied", "hf-mirror sent wrong bytes", "hf-mirror", "model.safetensors")


def run_json(main: Callable[[list[str]], int], *arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert "\x1b" not in err
    assert out.isascii()
    return json.loads(out)


def test_the_document_of_pull(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    services.pull_answer = telling(report(done()), NOTICE)
    assert run_json(services.main, "pull", "org/name", capsys=capsys) == {
        "schema": "glm-aria/1",
        "command": "pull",
        "status": "success",
        "exit_code": 0,
        "data": {
            "models": [
                {
                    "ref": "org/name@main",
                    "version": None,
                    "commit": COMMIT,
                    "signed_by": None,
                    "trust": {"level": "root", "source": "https://huggingface.co", "confirmed_by": []},
                    "snapshot": SNAPSHOT,
                    "local_dir": None,
                    "files": [
                        {
                            "path": "model.safetensors",
                            "size": 5_000_000,
                            "digest": "sha256:" + "a" * 64,
                            "state": "fetched",
                            "sources": {"hf-mirror": 4_000_000, "huggingface.co": 1_000_000},
                        },
                        {
                            "path": "config.json",
                            "size": 100,
                            "digest": "git-sha1:" + "b" * 40,
                            "state": "present",
                            "sources": {},
                        },
                        {
                            "path": "README.md",
                            "size": 200,
                            "digest": "git-sha1:" + "d" * 40,
                            "state": "linked",
                            "sources": {},
                        },
                    ],
                    "bytes_total": 5_000_300,
                    "bytes_fetched": 5_000_000,
                    "bytes_reused": 300,
                    "bytes_from_peers": 0,
                    "seconds": 2.0,
                    "error": None,
                }
            ]
        },
        "warnings": [
            {
                "code": "mirror-lied",
                "message": "hf-mirror sent wrong bytes",
                "mirror": "hf-mirror",
                "file": "model.safetensors",
            }
        ],
        "errors": [],
    }


def test_a_model_that_got_nowhere_has_the_same_keys(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = report(done(), failed(NotFoundError("no such repo")))
    whole, broken = run_json(services.main, "pull", "org/name", "org/broken", capsys=capsys)["data"]["models"]
    assert whole.keys() == broken.keys()
    assert (broken["commit"], broken["trust"], broken["snapshot"], broken["files"]) == (None, None, None, [])


def test_an_early_error_has_the_envelope_too(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    services.pull_answer = NotFoundError("gone \x1b[2J", hint="look \x07 again")
    document = run_json(services.main, "pull", "org/name", capsys=capsys)
    assert list(document) == ["schema", "command", "status", "exit_code", "data", "warnings", "errors"]
    assert document["data"] == {"models": []}
    assert document["errors"][0]["message"] == "gone \\x1b[2J"
    assert document["errors"][0]["hint"] == "look \\x07 again"


def test_text_puts_folders_on_stdout_and_the_rest_on_stderr(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    made = report(done(), failed(NotFoundError("org/broken does not exist", hint="check the name")))
    services.pull_answer = telling(made, NOTICE)
    assert services.main(["pull", "org/name", "org/broken", "--progress", "none"]) == 3
    out, err = capsys.readouterr()
    assert out == SNAPSHOT + "\n"
    assert err.splitlines() == [
        "warning: hf-mirror sent wrong bytes",
        "org/name@main: 3 files, 5.00 MB fetched, 300 B already here, 2.0 s, 2.50 MB/s",
        f"  commit {COMMIT}, every digest from the root: https://huggingface.co",
        "error: org/broken does not exist",
        "hint: check the name",
        "more: glm-aria explain not-found",
    ]


def test_what_other_machines_sent_is_told(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    sent = {"huggingface.co": 600_000, "peer:alpha-1": 2_400_000, "peer:beta-2": 2_000_000}
    services.pull_answer = telling(report(done(files=(FileReport(WEIGHTS, FileState.FETCHED, sent),))))
    assert services.main(["pull", "org/name", "--progress", "none"]) == 0
    assert "  12 % from huggingface.co, 88 % from 2 machines (alpha-1 48 %, beta-2 40 %)\n" in capsys.readouterr().err
    document = run_json(services.main, "pull", "org/name", capsys=capsys)
    assert document["data"]["models"][0]["bytes_from_peers"] == 4_400_000


def test_all_may_come_from_one_machine(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    services.pull_answer = telling(
        report(done(files=(FileReport(WEIGHTS, FileState.FETCHED, {"peer:alpha-1": 5_000_000}),)))
    )
    assert services.main(["pull", "org/name", "--progress", "none"]) == 0
    assert "  100 % from 1 machine (alpha-1 100 %)\n" in capsys.readouterr().err


def test_quiet_keeps_the_result_warnings_and_errors(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = telling(report(done(local_dir=Path("/plain"))), NOTICE)
    assert services.main(["pull", "-q", "org/name"]) == 0
    assert capsys.readouterr() == ("/plain\n", "warning: hf-mirror sent wrong bytes\n")


def test_verbose_names_files_and_their_sources(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert services.main(["pull", "-v", "org/name"]) == 0
    err = capsys.readouterr().err
    assert "  fetched   5.00 MB  model.safetensors  (hf-mirror 4.00 MB, huggingface.co 1.00 MB)" in err


def test_a_model_with_a_failed_file_is_not_a_result(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    services.pull_answer = report(
        done(files=(FileReport(WEIGHTS, FileState.LOST), FileReport(CONFIG, FileState.FETCHED)))
    )
    assert services.main(["pull", "-q", "org/name"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 file(s) failed" in err


def test_each_warning_is_told_once(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_settings: object, _request: object, emit: Any) -> object:
        emit(ModelPhase("org/name@main", Phase.RESOLVING))
        emit(NOTICE)
        emit(NOTICE)
        return report(done())

    services.pull_answer = run
    for mode in ("lines", "none"):
        assert services.main(["pull", "org/name", "--progress", mode, "--mirror", "http://10.0.0.5"]) == 0
        err = capsys.readouterr().err
        assert err.count("wrong bytes") == 1
        assert err.count("plain http") == 1
    document = run_json(services.main, "pull", "org/name", "--mirror", "http://10.0.0.5", capsys=capsys)
    assert [warning["code"] for warning in document["warnings"]] == ["plain-http", "mirror-lied"]


def test_who_reads_events_from_stderr_gets_nothing_else(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_settings: object, _request: object, emit: Any) -> object:
        emit(NOTICE)
        return report(done())

    services.pull_answer = run
    assert services.main(["pull", "org/name", "--progress", "json"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "warning"


# --- plan -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("plan", "org/name"), ("pull", "--dry-run", "org/name")])
def test_the_document_of_plan(
    arguments: tuple[str, ...], services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    document = run_json(services.main, *arguments, capsys=capsys)
    assert (document["schema"], document["command"], document["status"]) == ("glm-aria/1", "plan", "success")
    data = document["data"]
    assert (data["files_to_fetch"], data["bytes_to_fetch"]) == (1, 5_000_000)
    assert data["disk"].keys() == {"path", "bytes_free", "fits"}
    (model,) = data["models"]
    assert {file["path"]: file["action"] for file in model["files"]} == {
        "README.md": "link",
        "config.json": "keep",
        "model.safetensors": "fetch",
    }
    assert (model["bytes_total"], model["bytes_present"], model["bytes_linked"]) == (5_000_300, 100, 200)


def test_the_text_of_plan(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert services.main(["plan", "org/name"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        f"org/name@main  commit {COMMIT}",
        "  link      200 B  README.md",
        "  keep      100 B  config.json",
        "  fetch   5.00 MB  model.safetensors",
        "total: 5.00 MB to fetch in 1 file(s), 100 B present, 200 B linked",
    ]
    assert lines[5].startswith("disk: ")


def test_a_plan_with_a_failure_is_partial(services: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    services.plan_answer = (plan_of(), (failed(NotFoundError("gone")),))
    assert services.main(["plan", "org/name", "org/broken"]) == 3
    assert "error: gone" in capsys.readouterr().err
    document = run_json(services.main, "plan", "org/name", "org/broken", capsys=capsys)
    assert document["status"] == "partial"
    assert document["data"]["models"][0].keys() == document["data"]["models"][1].keys()


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (Trust("root", "https://r"), "every digest from the root: https://r"),
        (Trust("lock", "models.lock"), "every digest from the lock file: models.lock"),
        (
            Trust("agree", "https://a", ("https://b",)),
            "every digest agreed by https://a and https://b, without the root",
        ),
        (
            Trust("commit", "https://a", ("https://b",)),
            "every digest verified by the commit itself: listed by https://a, git objects from https://b",
        ),
        (Trust("single", "https://a"), "every digest from a single source, without confirmation: https://a"),
    ],
)
def test_each_level_of_trust_has_its_words(trust: Trust, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_pull(PullDocument.of(report(done(trust=trust))))
    assert capsys.readouterr().err.splitlines()[-1] == f"  commit {COMMIT}, {words}"


def test_a_pull_that_was_stopped_has_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """What arrived of the file that was under way is not counted, so a speed would be far too low."""
    files = (FileReport(WEIGHTS, FileState.SKIPPED), FileReport(CONFIG, FileState.FETCHED, {"a": 100}))
    print_pull(PullDocument.of(report(done(files=files))))
    assert "1 of 2 files, 100 B fetched, 2.0 s\n" in capsys.readouterr().err


def test_a_pull_without_sources_names_its_files_and_the_way_on(
    services: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    files = (FileReport(CONFIG, FileState.FETCHED, {"a": 100}), FileReport(WEIGHTS, FileState.LOST))
    services.pull_answer = report(done(files=files, error=SourcesDownError("a.org cannot be reached")))
    assert services.main(["pull", "org/name", "--progress", "none"]) == 69
    err = capsys.readouterr().err
    assert "1 of 2 files, 100 B fetched, 'model.safetensors' failed, 2.0 s\n" in err
    assert err.endswith(": glm-aria pull --resume-last\n")
    services.pull_answer = report(failed(NotFoundError("gone")))
    assert services.main(["pull", "org/name", "--progress", "none"]) == 66
    assert "--resume-last" not in capsys.readouterr().err


def test_the_speed_of_a_pull_that_goes_on_is_that_of_what_came_now(capsys: pytest.CaptureFixture[str]) -> None:
    print_pull(PullDocument.of(report(done(files=(FileReport(WEIGHTS, FileState.FETCHED, {"a": 1_000_000}),)))))
    assert "1 file, 5.00 MB fetched, 1.00 MB of them now, 2.0 s, 500 kB/s\n" in capsys.readouterr().err
