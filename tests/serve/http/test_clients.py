"""The table of who may have bytes before their proof."""

from __future__ import annotations

import pytest

from orchestrator.serve.http.clients import Manner, interim_of, manner_of

CLI = "huggingface-cli/{0}; hf_hub/{0}; python/3.11.2"
PLAIN = "unknown/None; hf_hub/{0}; python/3.11.2"
SCOPE = "modelscope_hub/{0}; python/3.11.2; session_id/ab12; platform/Linux-6; processor/x; env/custom; user/unknown"
TRANSFORMERS = "unknown/None; hf_hub/{0}; python/3.11.2; transformers/5.24.0; session_id/ab12"


@pytest.mark.parametrize(
    ("user_agent", "manner"),
    [
        ("glm-aria/0.9.1", Manner.HASHES),
        ("glm-aria", Manner.HASHES),
        ("not-glm-aria", Manner.WAITS),
        (CLI.format("2.4.0"), Manner.STARTS_OVER),
        (CLI.format("1.22.0"), Manner.STARTS_OVER),
        (CLI.format("1.18.0"), Manner.STARTS_OVER),
        # It keeps a part across runs, and continues it.
        (CLI.format("1.17.0"), Manner.ASKS_AGAIN),
        (CLI.format("1.2.0"), Manner.ASKS_AGAIN),
        (CLI.format("0.36.0"), Manner.WAITS),
        (TRANSFORMERS.format("2.4.0"), Manner.STARTS_OVER),
        (TRANSFORMERS.format("1.17.0"), Manner.ASKS_AGAIN),
        (TRANSFORMERS.format("0.36.0"), Manner.WAITS),
        # Perhaps its file system, whose caller uses the bytes at once.
        (PLAIN.format("2.4.0"), Manner.ASKS_AGAIN),
        (PLAIN.format("0.36.0"), Manner.WAITS),
        ("datasets/4.0.0; hf_hub/2.4.0; python/3.11", Manner.ASKS_AGAIN),
        (SCOPE.format("0.5.1"), Manner.STARTS_OVER),
        (SCOPE.format("0.5.0") + "; invoked_by/cli", Manner.STARTS_OVER),
        # It hashes a file that has its name already, and some not at all.
        (SCOPE.format("0.4.6"), Manner.WAITS),
        ("modelscope/1.37.1; python/3.11.2; session_id/ab12", Manner.WAITS),
        ("curl/8.5.0", Manner.WAITS),
        ("Wget/1.21.4", Manner.WAITS),
        ("aria2/1.36.0", Manner.WAITS),
        ("my-transformers/1.0", Manner.WAITS),
        ("", Manner.WAITS),
    ],
)
def test_a_row(user_agent: str, manner: Manner) -> None:
    assert manner_of(user_agent) == manner


@pytest.mark.parametrize(
    ("user_agent", "status"),
    [
        (PLAIN.format("0.36.0"), 100),
        (SCOPE.format("0.1.9"), 100),
        ("modelscope/1.30.0; python/3.11.2", 100),
        ("curl/8.5.0", 100),
        ("Wget/1.21.4", 100),
        ("aria2/1.36.0", 100),
        ("glm-aria", 100),
        ("node", 102),
        ("Go-http-client/1.1", None),
        ("Mozilla/5.0", None),
        ("", None),
    ],
)
def test_who_can_be_kept_waiting(user_agent: str, status: int | None) -> None:
    assert interim_of(user_agent) == status


def test_nobody_gets_bytes_early_who_cannot_prove_them() -> None:
    assert manner_of(CLI.format("2.4.0"), early=False) == Manner.ASKS_AGAIN
    assert manner_of("glm-aria/1.0", early=False) == Manner.HASHES


def test_a_long_user_agent_is_read_in_no_time() -> None:
    assert manner_of("a/1" * 1_000_000) == Manner.WAITS
