"""The command line on its own: what it calls is replaced, and nothing of the user's reaches the tests."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.settings import Settings
from tests.cli.builders import plan_of, report


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "GLM_ARIA_", "HUGGING", "TRANSFORMERS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def services() -> SimpleNamespace:
    """Stands in for `app.services.Services`; `services.main` runs the command line with it.

    `calls` is what was asked for, with the settings before the arguments; the answers may be replaced.
    """
    calls: list[tuple[str, tuple[object, ...]]] = []

    def answer(name: str, value: object) -> Callable[..., object]:
        def call(*args: object, **_named: object) -> object:
            args = (fake.settings, *args)
            calls.append((name, args))
            found = getattr(fake, f"{name}_answer", value)
            if isinstance(found, BaseException):
                raise found
            return found(*args) if callable(found) else found

        return call

    def made(settings: Settings) -> Any:
        fake.settings = settings
        return fake

    fake = SimpleNamespace(
        calls=calls,
        main=partial(main, services=made),
        pull=answer("pull", report()),
        plan=answer("plan", (plan_of(), ())),
        fetch_url=answer("fetch_url", report()),
        write_aria2_input=answer("write_aria2_input", None),
    )
    return fake
