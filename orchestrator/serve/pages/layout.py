"""The frame of the server's pages: headers, the language of a reader, and all that stands around their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from orchestrator import __version__, templating
from orchestrator.serve.http.answers import Request
from orchestrator.serve.pages.words import chosen, languages

SAFE = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TEXT = SAFE | {"Content-Type": "text/plain; charset=utf-8"}
HTML = SAFE | {"Content-Type": "text/html; charset=utf-8"}
PLACES = {"server": "/", "registry": "/-/registry"}
"""The addresses of the first pages."""


@dataclass(frozen=True, slots=True)
class PageLayout:
    """The frame of all pages. `prefix` is the path below which a proxy asks; with `has_registry` it has pages, too."""

    prefix: str = ""
    has_registry: bool = False

    def draw(
        self, template: str, lang: str, place: str, query: Mapping[str, str] | None = None, **values: object
    ) -> bytes:
        """A page of one of PLACES in a language. `query` is that of its address, which it has in other languages,
        too."""
        text = templating.render(
            template,
            words=languages()[lang],
            languages=[
                (code, words["name"], urlencode({**(query or {}), "lang": code})) for code, words in languages().items()
            ],
            base=self.prefix,
            place=place,
            places=PLACES if self.has_registry else {},
            version=__version__,
            **values,
        )
        return text.encode()

    def form(self, lang: str, place: str = "server", *, is_wrong: bool = False) -> bytes:
        """The form for a token, from which a browser gets to one of PLACES. `is_wrong`: another token was tried."""
        return self.draw("login.html", lang, place, is_wrong=is_wrong)


def language(request: Request) -> str:
    """The code of the language for who asks."""
    asked = parse_qs(request.query_string[:200].decode("ascii", "replace")).get("lang", [""])
    return chosen(asked[0], request.headers.get("accept-language", ""))
