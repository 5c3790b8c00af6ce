"""A push that signs: what is attached, when, and that signing again adds nothing."""

from __future__ import annotations

from pathlib import Path

from orchestrator.oci.attached import attached
from orchestrator.publishing.push import PushReport
from orchestrator.signatures.bundle import MEDIA_TYPE
from orchestrator.signatures.keys import PrivateKey
from orchestrator.signatures.vouching import judge
from tests.publishing.conftest import Pusher
from tests.signatures.signed import new_key


def signatures(pusher: Pusher, report: PushReport) -> list[bytes]:
    return list(attached(pusher.client, report.digest, MEDIA_TYPE))


def is_signed(pusher: Pusher, report: PushReport, key: PrivateKey) -> bool:
    files = {file.path: file.digest for file in report.files}
    return judge(signatures(pusher, report), key.public, files, "r").is_valid


def test_a_push_signs_what_it_pushed(pusher: Pusher, folder: Path) -> None:
    key = new_key()
    report = pusher.push(folder, key=key, alias="prod")
    assert is_signed(pusher, report, key)
    assert report.signed_by == "new.key"
    assert pusher.client.head("prod") == report.digest


def test_a_version_is_signed_later_and_by_several(pusher: Pusher, folder: Path) -> None:
    first, second = new_key(), new_key()
    report = pusher.push(folder)
    assert (signatures(pusher, report), report.signed_by) == ([], None)
    for key in (first, second, first):
        again = pusher.push(folder, key=key)
        assert (again.was_there, again.digest) == (True, report.digest)
    assert len(signatures(pusher, report)) == 2
    assert is_signed(pusher, report, first)
    assert is_signed(pusher, report, second)


def test_a_dry_run_signs_nothing(pusher: Pusher, folder: Path) -> None:
    report = pusher.push(folder)
    pusher.push(folder, key=new_key(), is_dry_run=True)
    assert signatures(pusher, report) == []
