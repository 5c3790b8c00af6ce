"""`glm-aria search`: which models there are, by words of their names."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import click

from orchestrator.catalogs.search.document import SearchDocument
from orchestrator.catalogs.search.interface import Query, SearchOrder
from orchestrator.cli import options as shared
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, takes
from orchestrator.core.refs import RepoType
from orchestrator.errors import UsageError

_MOST = 50
"""What ModelScope has on a page."""
_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """The options of `search`."""

    words: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    kind: Annotated[
        Literal["model", "dataset", "space"],
        shared.what("--type", default="model", show_default=True, help="Search among these. ModelScope: models only."),
    ]
    gguf: Annotated[bool, shared.what("--gguf", help="Only models in GGUF, with their quantisations.")]
    limit: Annotated[
        int,
        shared.what("--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, metavar="N",
                    help=f"Show N at most, up to {_MOST}."),
    ]  # fmt: skip
    sort: Annotated[
        Literal["downloads", "likes", "updated"],
        shared.what("--sort", default="downloads", show_default=True, help="The most, or the newest, first."),
    ]
    quick: Annotated[
        bool,
        shared.what("--quick", help="Ask each site once: sizes are estimates of the weights (~), or missing."),
    ]
    sites: SiteChoice
    strict: Annotated[bool, shared.STRICT]
    as_json: Annotated[bool, shared.JSON]


@click.command("search", cls=HeadedCommand)
@takes(SearchOptions)
def search(options: SearchOptions) -> int:
    """Search the Hub and ModelScope for models by name, with the size of each.

    Asks the root and the mirrors of the settings, and a registry of your own if there is one. Of sites that speak like
    the Hub only the first that answers is asked, the root before its mirrors. What stands in the first column can be
    given to `pull`.

    \b
    Columns:
      name       the REF for pull; of ModelScope alone with ms://, of a registry with reg://
      where      which kinds of site have it; the same name need not mean the same bytes,
                 which pull compares by their digests
      size       bytes of the main branch, which pull would fetch; ~ is an estimate from
                 the number of parameters. ModelScope counts by itself
      downloads  of the last 30 days at the Hub, all of them at ModelScope
      access     gated: accept its licence first; private: yours, or shared with you

    \b
    Examples:
      glm-aria search autoglm phone
      glm-aria search qwen3 --gguf --limit 5
      glm-aria search wikitext --type dataset --sort updated
      glm-aria search autoglm --json | jq -r '.data.found[].ref'
    """
    from orchestrator.cli.views.search import show_found

    words = " ".join(" ".join(options.words).split())
    if not words or not words.isprintable() or len(words) > _MOST_WORDS:
        raise UsageError(
            f"NAME takes words of a name, of {_MOST_WORDS} printable characters at most",
            hint="for example: glm-aria search autoglm",
        )
    if options.gguf and options.kind != "model":
        raise UsageError(f"--gguf is about models, not about a {options.kind}", hint="leave out --type")
    settings = shared.settings(options)
    run = Run.warned(settings, as_json=options.as_json)
    query = Query(words, RepoType(options.kind), SearchOrder(options.sort), options.limit, options.gguf)
    rows = services(settings).search(query, run.emit, measure=not options.quick)
    outcome = run.outcome(strict=options.strict)
    return finish(run, "search", SearchDocument.of(query, rows), partial(show_found, now=time.time()), outcome)
