"""The command line on its own: the wiring is replaced, and nothing of the user's reaches the tests."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import orchestrator.app
from tests.cli.builders import plan_of, report


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "GLM_ARIA_", "HUGGING", "TRANSFORMERS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for `app.services`. `calls` is what was asked for; the answers may be replaced."""
    calls: list[tuple[str, tuple[object, ...]]] = []

    def answer(name: str, value: object) -> Callable[..., object]:
        def call(*args: object, **_named: object) -> object:
            calls.append((name, args))
            found = getattr(fake, f"{name}_answer", value)
            if isinstance(found, BaseException):
                raise found
            return found(*args) if callable(found) else found

        return call

    fake = SimpleNamespace(
        calls=calls,
        run_pull=answer("run_pull", report()),
        run_plan=answer("run_plan", (plan_of(), ())),
        fetch_url=answer("fetch_url", report()),
        write_aria2_input=answer("write_aria2_input", None),
    )
    monkeypatch.setitem(sys.modules, "orchestrator.app.services", fake)
    monkeypatch.setattr(orchestrator.app, "services", fake, raising=False)
    return fake
