"""What a command shows on a terminal, as an SVG: run in a pseudo-terminal, read by pyte, drawn by rich.

Times, rates and ports differ from run to run. A picture is made anew only when something else in it has changed.
"""

from __future__ import annotations

import fcntl
import html
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 100
# Of rich's own, without the fonts, which it takes from a foreign host.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<desc>@shown@</desc>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Recording:
    """All that a command wrote to its terminal."""

    def __init__(self) -> None:
        self._screen = pyte.Screen(COLUMNS, 60)
        self._stream = pyte.ByteStream(self._screen)
        # A pseudo-terminal ends lines with \\r\\n itself; what we write has to.
        self.written = b""

    def write(self, data: bytes) -> None:
        """Take what the command wrote, or the line that a user typed."""
        self.written += data
        self._stream.feed(data)

    def text(self) -> str:
        """The screen as it is now, without its empty rest."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def lines(self) -> list[Text]:
        """The same with its colours."""
        found = []
        for number in range(len(self.text().splitlines())):
            line = Text()
            for column in range(COLUMNS):
                cell = self._screen.buffer[number][column]
                line.append(cell.data, style(cell))
            line.rstrip()
            found.append(line)
        return found


def style(cell: pyte.screens.Char) -> str:
    """The style of a character, as rich names it."""
    words = [
        word for word, is_on in (("bold", cell.bold), ("italic", cell.italics), ("reverse", cell.reverse)) if is_on
    ]
    for colour, mark in ((cell.fg, ""), (cell.bg, "on ")):
        if colour != "default":
            name = {"brown": "yellow"}.get(colour.removeprefix("bright"), colour.removeprefix("bright"))
            bright = "bright_" if colour.startswith("bright") else ""
            words.append(mark + (f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else bright + name))
    return " ".join(words)


def record(
    typed: str,
    words: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    *,
    names: Mapping[str, str],
    enough: Callable[[str], bool] = lambda _: False,
) -> Recording:
    """Run the words as if a user had typed that line; until its end, or until the screen shows enough.

    `names` are put in the place of addresses that are others in each run.
    """
    recording = Recording()
    recording.write(f"\x1b[32m$\x1b[0m {typed}\r\n".encode())
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    told = {**env, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=told, cwd=folder)
    os.close(slave)
    try:
        while not enough(recording.text()):
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # all who had the terminal have gone
                if process.wait(30):
                    raise RuntimeError(f"it failed: {recording.text()}") from None
                break
            for address, name in names.items():
                data = data.replace(address.encode(), name.encode())
            recording.write(data)
    finally:
        process.terminate()
        # Its end is written to the terminal, too.
        while process.poll() is None:
            try:
                os.read(master, 1 << 16)
            except OSError:
                process.wait(30)
        os.close(master)
    return recording


def draw(recordings: Sequence[Recording], title: str) -> str:
    """The picture of one terminal with these commands, one below the other."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for recording in recordings:
        for line in recording.lines():
            console.print(line, soft_wrap=True)
    console.print()  # or the feet of the last letters are cut off
    shown = html.escape("\n".join(recording.text() for recording in recordings))
    code = FRAME.replace("@shown@", shown.replace("{", "{{").replace("}", "}}"))
    return console.export_svg(title=title, theme=MONOKAI, code_format=code, unique_id=re.sub(r"\W+", "-", title))


def shown_in(picture: str) -> str:
    """The text of the terminal in a picture."""
    found = re.search(r"<desc>(.*?)</desc>", picture, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def outline(text: str) -> str:
    """What is the same in every run: without figures, their units, bars, and lines that differ in those alone."""
    text = re.sub(r"[━╸╺]+", "=", text)
    text = re.sub(r"[0-9a-f]{12,}", "#", text)
    text = re.sub(r"\d[\d.]*( ?([kKMG]?i?B|ms|s|min|h|%)(/s)?(?![A-Za-z]))?", "#", text)
    lines = (re.sub(r"\s+", " ", line).rstrip("# ") for line in text.splitlines())
    return "\n".join(dict.fromkeys(lines))


def write(file: Path, picture: str) -> bool:
    """Write the picture, unless the one that is there shows the same; whether it was written."""
    if file.exists() and outline(shown_in(file.read_text("utf-8"))) == outline(shown_in(picture)):
        return False
    file.write_text(picture, "utf-8")
    return True
