"""The file of tokens, and the keyring that reads it while a server runs."""

from __future__ import annotations

import base64
import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import DiskIOError, UsageError
from orchestrator.events import Event, Notice
from orchestrator.rights import Role, RoleGrant
from orchestrator.serve.access.callers import OPERATOR, Caller
from orchestrator.serve.access.keyring import Keyring, ShownTokens, WrongTokens, shown
from orchestrator.serve.access.tokens import DAY, TokenFile, TokenGrant, fresh_token, hashed, is_token
from orchestrator.serve.http.refusals import Refused

NOW = 1_800_000_000


def of(
    name: str = "ci",
    role: Role = Role.READER,
    namespaces: tuple[str, ...] = ("*",),
    *,
    expires: int | None = None,
) -> Callable[[str], TokenGrant]:
    return lambda token_hash: TokenGrant(name, role, namespaces, False, NOW, expires, token_hash)


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    (tmp_path / "stage").mkdir()
    return TokenFile(tmp_path)


def ring(file: TokenFile, now: list[int] | None = None, **more: object) -> Keyring:
    return Keyring(file, now=lambda: (now or [NOW])[0], **more)  # type: ignore[arg-type]


def test_a_token_is_kept_as_a_hash_that_nobody_else_reads(tmp_path: Path, file: TokenFile) -> None:
    token, grant = file.create(of())
    assert is_token(token)
    kept = (tmp_path / "tokens.json").read_text()
    assert token not in kept
    assert hashed(token) in kept
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600
    assert file.grants() == (grant,)
    assert token not in repr(grant)
    assert grant.hash not in repr(grant)


def test_no_two_tokens_are_alike() -> None:
    assert len({fresh_token() for _ in range(100)}) == 100


def test_a_name_is_given_once(file: TokenFile) -> None:
    file.create(of())
    with pytest.raises(UsageError, match="'ci'"):
        file.create(of())


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\nb", "ä", "x" * 65, "../x"])
def test_a_name_is_plain(file: TokenFile, name: str) -> None:
    with pytest.raises(UsageError):
        file.create(of(name))


@pytest.mark.parametrize("pattern", ["", "a b", "a/b/c/d", "a//b", "a\nb"])
def test_a_pattern_is_plain(file: TokenFile, pattern: str) -> None:
    with pytest.raises(UsageError):
        file.create(of(namespaces=(pattern,)))


def test_an_admin_is_one_everywhere(file: TokenFile) -> None:
    with pytest.raises(UsageError):
        file.create(of(role=Role.ADMIN, namespaces=("team",)))


def test_a_revoked_token_is_gone(file: TokenFile) -> None:
    file.create(of("a"))
    _, other = file.create(of("b"))
    assert file.revoke("a")
    assert file.grants() == (other,)
    assert file.revoke("a") is None


def test_many_writers_lose_no_token(file: TokenFile) -> None:
    threads = [threading.Thread(target=file.create, args=(of(f"t{number}"),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.grants()) == 8


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 2, "tokens": []}', '{"version": 1, "tokens": [{"name": "x"}]}']
)
def test_a_damaged_file_is_an_error_and_is_not_written_over(tmp_path: Path, file: TokenFile, text: str) -> None:
    (tmp_path / "tokens.json").write_text(text)
    (tmp_path / "tokens.json").chmod(0o600)
    for ask in (file.grants, lambda: file.create(of()), lambda: file.revoke("ci")):
        with pytest.raises(DiskIOError):
            ask()
    assert (tmp_path / "tokens.json").read_text() == text


def test_a_file_that_others_may_read_is_not_believed(tmp_path: Path, file: TokenFile) -> None:
    file.create(of())
    (tmp_path / "tokens.json").chmod(0o644)
    with pytest.raises(DiskIOError):
        file.grants()


def test_a_link_is_not_followed(tmp_path: Path, file: TokenFile) -> None:
    file.create(of())
    (tmp_path / "tokens.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "tokens.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(DiskIOError):
        file.grants()


def test_a_running_server_obeys_changes_at_once(file: TokenFile) -> None:
    keyring = ring(file)
    token, _ = file.create(of("a", Role.PULLER))
    assert keyring.identify(token, "x") == Caller("a", (RoleGrant(Role.PULLER),), client="token a")
    file.revoke("a")
    assert keyring.identify(token, "x") is None


def test_a_token_ends_at_its_time(file: TokenFile) -> None:
    token, _ = file.create(of(expires=NOW + 60))
    now = [NOW + 59]
    keyring = ring(file, now)
    assert keyring.identify(token, "x") is not None
    now[0] = NOW + 60
    assert keyring.identify(token, "x") is None


def test_a_damaged_file_lets_nobody_in_and_is_told(tmp_path: Path, file: TokenFile) -> None:
    told: list[Event] = []
    token, _ = file.create(of())
    keyring = ring(file, emit=told.append)
    assert keyring.identify(token, "x") is not None
    (tmp_path / "tokens.json").write_text("half of")
    assert keyring.identify(token, "x") is None
    assert keyring.identify(token, "x") is None
    assert [event.code for event in told if isinstance(event, Notice)] == ["tokens-unreadable"]


def test_the_day_of_the_last_use_is_noted_once_a_day(file: TokenFile) -> None:
    written: list[Callable[[], None]] = []
    now = [NOW]
    keyring = ring(file, now, write=written.append)
    token, grant = file.create(of())
    for moment in (NOW, NOW + 1, NOW + DAY):
        now[0] = moment
        keyring.identify(token, "x")
    assert len(written) == 2
    for write in written:
        write()
    assert file.last_used() == {grant.hash: (NOW + DAY) // DAY * DAY}
    file.create(of("later"))
    file.revoke("ci")
    file.used("none", NOW)
    assert grant.hash not in file.last_used()


def test_the_operators_own_token_is_in_no_file(tmp_path: Path, file: TokenFile) -> None:
    token = fresh_token()
    keyring = Keyring(file, {hashed(token): OPERATOR})
    assert keyring.identify(token, "x") is OPERATOR
    assert not any(tmp_path.glob("*.json"))


def test_who_tries_many_tokens_has_to_wait_and_others_have_not(file: TokenFile) -> None:
    now = [0.0]
    keyring = ring(file, wrong=WrongTokens(lambda: now[0]))
    token, _ = file.create(of())
    for _ in range(10):
        with pytest.raises(Refused) as refused:
            keyring.caller_of(fresh_token(), "192.0.2.7")
        assert refused.value.status == 401
    for wrong in (fresh_token(), "gla_short", token + "x"):
        with pytest.raises(Refused) as refused:
            keyring.caller_of(wrong, "192.0.2.7")
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "60")
    assert keyring.identify(token, "192.0.2.7") is not None  # a neighbour of theirs
    assert keyring.identify(fresh_token(), "192.0.2.8") is None
    now[0] = 61
    assert keyring.identify(fresh_token(), "192.0.2.7") is None


def test_addresses_of_guessers_take_no_memory_without_end(file: TokenFile) -> None:
    wrong = WrongTokens()
    for number in range(10_000):
        wrong.note(str(number))
    assert len(wrong._counts.items()) == 4096


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ShownTokens()),
        ("Bearer gla_x", ShownTokens("gla_x")),
        ("bearer  gla_x ", ShownTokens("gla_x")),
        ("Bearer hf_x", ShownTokens(hub="hf_x")),
        ("Bearer gla_x+hf_y", ShownTokens("gla_x", "hf_y")),
        (basic("me:gla_x"), ShownTokens("gla_x")),
        (basic(":gla_x+hf_y"), ShownTokens("gla_x", "hf_y")),
        ("Basic !!!", ShownTokens()),
        ("Digest gla_x", ShownTokens()),
    ],
)
def test_tokens_are_read_where_clients_put_them(header: str, expected: ShownTokens) -> None:
    assert shown({"authorization": header} if header else {}) == expected


def test_the_file_is_a_document_that_people_can_read(tmp_path: Path, file: TokenFile) -> None:
    file.create(of(namespaces=("team-*",)))
    (entry,) = json.loads((tmp_path / "tokens.json").read_text())["tokens"]
    assert {**entry, "hash": ""} == {
        "name": "ci", "role": "reader", "namespaces": ["team-*"], "restricted": False, "created": NOW, "expires": None,
        "hash": "",
    }  # fmt: skip
