"""What a server of models says is shown as text: it moves no cursor, and names no window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.cli.commands.registry.alias import _say_moved, _say_removed
from orchestrator.cli.commands.registry.judging import _print_check, _print_diff
from orchestrator.cli.commands.registry.listing import _print_models, _print_resolved, _print_trail, _print_versions
from orchestrator.cli.commands.registry.push import _summary
from orchestrator.publishing.document import PushDocument, PushedEntry
from orchestrator.publishing.push import BlobFate
from orchestrator.registry.audit import Deed
from orchestrator.registry.checks import CheckResult, Verdict
from orchestrator.registry.contents import FileDelta, KeyDelta
from orchestrator.registry.document import (
    AliasEntry,
    CheckDocument,
    DiffDocument,
    ModelsDocument,
    ModelVersionsDocument,
    RemovedAliasDocument,
    ResolvedDocument,
    TrailDocument,
    TrailEntry,
    VersionEntry,
)

EVIL = "\x1b[2J\x1b]0;evil\x07\u202e\r"
SHOWN = "\\x1b[2J"
RESOLVED = ResolvedDocument(EVIL, EVIL, (EVIL,), EVIL, EVIL, EVIL)


@pytest.mark.parametrize(
    ("view", "document"),
    [
        (_print_models, ModelsDocument((EVIL,))),
        (
            _print_versions,
            ModelVersionsDocument(EVIL, (VersionEntry(EVIL, EVIL, 1, EVIL, 0.0),), (AliasEntry(EVIL, EVIL, EVIL),)),
        ),
        (_print_resolved, RESOLVED),
        (
            _print_trail,
            TrailDocument((TrailEntry(1, 0.0, EVIL, Deed.MOVE, EVIL, EVIL, EVIL, EVIL, EVIL),)),
        ),
        (lambda found: _say_moved(found, EVIL), RESOLVED),
        (_say_removed, RemovedAliasDocument(EVIL, EVIL, False)),
        (_print_check, CheckDocument(EVIL, EVIL, EVIL, True, ())),
        (_print_check, CheckDocument(EVIL, EVIL, EVIL, True, (CheckResult(EVIL, Verdict.PASSED, EVIL),))),
        (
            lambda found: _print_diff(RESOLVED, RESOLVED, found),
            DiffDocument(EVIL, EVIL, EVIL, (FileDelta(EVIL, 1, 2),), (KeyDelta(EVIL, EVIL, EVIL),), 0, 0),
        ),
        (
            lambda found: print(_summary(found)),
            PushDocument(
                *(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, False, False, 1, 1),
                (PushedEntry(EVIL, 1, EVIL, BlobFate.BRING, 1, None, 0),),
            ),
        ),
    ],
)
def test_texts_of_a_server_are_escaped(
    capsys: pytest.CaptureFixture[str], view: Callable[[Any], None], document: object
) -> None:
    view(document)
    told = capsys.readouterr()
    text = told.out + told.err
    assert SHOWN in text
    assert not [character for character in text if not character.isprintable() and character != "\n"]
