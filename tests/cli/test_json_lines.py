"""Events as lines of JSON."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from orchestrator.cli.views.json_lines import Line, line_of
from orchestrator.core.files import Algorithm, Digest
from orchestrator.documents import encode, schema_of
from orchestrator.events import (
    Event,
    Evicted,
    FileProgress,
    FleetNews,
    Flipped,
    ModelPhase,
    ModelPlanned,
    Notice,
    PeersKnown,
    Phase,
    Queued,
    SourceRates,
    Staying,
)


def test_every_event_has_a_line() -> None:
    digest = Digest(Algorithm.SHA256, "ab" * 32)
    events: list[Event] = [
        ModelPhase("m", Phase.DONE),
        Queued(1, 2, to="verify"),
        FileProgress(digest, "a.bin", Phase.FETCHING, 1, 2, 3, 4),
        SourceRates((("near", 1.6, 2),)),
        Notice("slow", "hf_abcdefghijk is slow", "near"),
        Flipped("m", Path("/cache/x"), None, "c" * 40, "1.2.3"),
        Evicted("m", 5),
        PeersKnown("http://10.0.0.1:8092", ("a", "b")),
        Staying(("a",), 300),
        FleetNews("task", "task 1 is done", is_idle=True),
        ModelPlanned("m", {digest: 5}, {}),
    ]
    lines = [json.loads(encode(line_of(event))) for event in events]
    assert [line["event"] for line in lines] == [
        "phase",
        "queued",
        "progress",
        "sources",
        "warning",
        "flipped",
        "evicted",
        "peers",
        "staying",
        "fleet",
        "planned",
    ]
    for line in lines:
        Draft202012Validator(schema_of(Line)).validate(line)
    assert lines[1] == {"event": "queued", "files": 1, "bytes_total": 2}
    assert lines[3]["sources"] == [{"name": "near", "speed": 2, "connections": 2}]
    assert (lines[5]["new_commit"], lines[5]["version"]) == ("c" * 40, "1.2.3")
    assert lines[7] == {"event": "peers", "address": "http://10.0.0.1:8092", "nodes": ["a", "b"], "left": []}
    assert lines[8] == {"event": "staying", "nodes": ["a"], "seconds": 300}
    assert lines[9] == {"event": "fleet", "code": "task", "message": "task 1 is done", "is_idle": True}
    assert lines[10] == {"event": "planned", "model": "m", "bytes_total": 5, "bytes_to_fetch": 0}
