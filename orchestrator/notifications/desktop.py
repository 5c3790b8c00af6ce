"""A notice on the desktop, by the program that the system has for it: notify-send, or osascript on macOS."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
from collections.abc import Mapping

from orchestrator.core.text import redacted
from orchestrator.notifications.ending import Ending

_PATIENCE = 5.0
_SCRIPT = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


def show(ending: Ending, environ: Mapping[str, str]) -> str | None:
    """Show the notice; None when it is shown, else why it is not. `environ` is what the program may see."""
    title, _, more = ending.text.partition("\n")
    if sys.platform == "darwin":
        words = ["osascript", *(word for line in _SCRIPT for word in ("-e", line)), title, more]
    else:
        # The text of a notice is markup.
        words = ["notify-send", "--app-name=glm-aria", "--", title, html.escape(more, quote=False)]
    program = shutil.which(words[0])
    if program is None:
        return f"{words[0]} is not there" + (
            " (package libnotify-bin or libnotify)" if sys.platform != "darwin" else ""
        )
    try:
        ended = subprocess.run(
            [program, *words[1:]],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{words[0]} does not end, or cannot be started"
    if ended.returncode == 0:
        return None
    said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{words[0]}: {redacted(said[-1]) if said else f'exit code {ended.returncode}'}"
