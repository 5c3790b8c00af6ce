"""The reader of the targets of notices."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.network.webhooks import parse_target
from orchestrator.settings.values import Secret


def targets(raw: object, _base: Path) -> tuple[str, ...]:
    """`desktop` and addresses of webhooks: a list, or a text with spaces between them; `none` for an empty list. What
    is wrong is never quoted: it may be a secret."""
    words = raw.split() if isinstance(raw, str) else raw
    if not isinstance(words, tuple | list) or not all(isinstance(word, str) for word in words):
        raise ValueError("must be a list of desktop and addresses of webhooks")
    if [word.lower() for word in words] == ["none"]:
        return ()
    return tuple(Secret(word) if parse_target(word) else word for word in words)
