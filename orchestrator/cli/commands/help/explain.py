"""`glm-aria explain`: the page of an error, from the package itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import click
from click.shell_completion import CompletionItem

from orchestrator import manual
from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.views import table
from orchestrator.manual import ErrorPage, Language, ManualDocument


class _Code(click.types.StringParamType):
    """The code of an error, or an exit code."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what means no error."""
        value = value.strip().lower()
        if not manual.codes_of(value):
            import difflib

            close = difflib.get_close_matches(value, manual.codes(), 1)
            meant = f"Did you mean {close[0]!r}?" if close else "glm-aria explain lists them."
            self.fail(f"{value!r} is no code of an error. {meant}", param, ctx)
        return value

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The codes that begin like this."""
        return [CompletionItem(code) for code in manual.codes() if code.startswith(incomplete)]


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """The options of `explain`."""

    codes: Annotated[tuple[str, ...], argument("[CODE]...", type=_Code())]
    language: Annotated[
        Language | None,
        option("--lang", help="Language of the pages (default: by LC_ALL, LC_MESSAGES or LANG, else English)."),
    ]
    as_json: Annotated[bool, shared.JSON]


@click.command()
@takes(ExplainOptions)
def explain(options: ExplainOptions) -> int:
    """Show what an error means, why it happens, and what to do. Without CODE, list all errors.

    CODE is what an error says behind `more:`, `code` in JSON, or an exit code. The pages come with the program: no
    network is needed.

    \b
    Examples:
      glm-aria explain no-space
      glm-aria explain 69
      glm-aria explain trust --lang zh
    """
    language = options.language or language_of(os.environ)
    wanted = dict.fromkeys(code for word in options.codes for code in manual.codes_of(word))
    pages = tuple(ErrorPage.read(code, language) for code in wanted or manual.codes())
    view = _print if wanted else _list
    return finish(Run(options.as_json), "explain", ManualDocument(language, pages), view)


def language_of(environ: Mapping[str, str]) -> Language:
    """The language of messages, by the first of POSIX's variables that is set."""
    said = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if said.lower().startswith("zh") else "en"


def _list(found: ManualDocument) -> None:
    rows = [(page.code, ", ".join(map(str, page.exit_codes)), page.meaning) for page in found.pages]
    table.show(("CODE", "EXIT", "MEANING"), rows, whole="CODE")


def _print(found: ManualDocument) -> None:
    text = "\n".join(page.text for page in found.pages)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        Console(highlight=False).print(Markdown(text, code_theme="ansi_dark"))
    else:
        terminal.result(text.removesuffix("\n"))
