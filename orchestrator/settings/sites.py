"""Settings of sites: which to ask, how far to trust them, aliases, and hosts for the token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import urlsplit

from orchestrator.core.dialects import DEFAULT, dialects
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Source, parse_source
from orchestrator.core.trust import Policy
from orchestrator.errors import UsageError
from orchestrator.settings import values
from orchestrator.settings.layers import Given, Layers

HUB = "https://huggingface.co"
# The organisation has another name on ModelScope.
DEFAULT_ALIASES = {
    f"zai-org/AutoGLM-Phone-9B{suffix}": f"ZhipuAI/AutoGLM-Phone-9B{suffix}" for suffix in ("", "-Multilingual")
}
_MIRROR_KEYS = ("name", "kind", "url", "proxy")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def default_mirrors() -> tuple[Source, ...]:
    """The mirrors that every kind of catalog brings with it, in order of preference."""
    return tuple(Source(name, url, kind) for kind in dialects() for name, url in kind.mirrors)


@dataclass(frozen=True, slots=True)
class Root:
    """The trust root. `may_see_token` is whether being the root alone makes its host one that is sent the token."""

    source: Source
    origin: str
    may_see_token: bool


def root(layers: Layers) -> Root:
    """The root. HF_ENDPOINT names a root, but no token host."""
    for given in layers.find("root"):
        source = _parse(given, given.read(values.text), is_root=True)
        if source.kind is not DEFAULT:
            raise given.error(f"the root must be a {DEFAULT.title} site", hint="other kinds can be mirrors: --mirror")
        return Root(source, given.origin, given.variable != "HF_ENDPOINT" or _is_hub(source))
    return Root(Source("huggingface.co", HUB, is_root=True), "default", may_see_token=True)


def mirrors(layers: Layers, root_source: Source) -> tuple[tuple[Source, ...], str]:
    """The mirrors and their origin; the root, a source anyway, is left out.

    The default ones know public repos only. They are used when the root is the public Hub or one of themselves: what
    a root of one's own holds is nobody else's business, not even the names. Who names mirrors decides who is
    independent of whom; so those of the working directory's file carry bytes only, unless they are mirrors without it,
    too.
    """
    named = layers.find("mirrors")
    for given in named:
        found = _tables(given) if given.file else _addresses(given)
        if given.file and not given.file.is_personal:
            below = next(named, None)
            others = _usual(root_source) if below is None else _tables(below) if below.file else _addresses(below)
            known = {(source.kind, source.url) for source in others}
            found = tuple(replace(source, is_believed=(source.kind, source.url) in known) for source in found)
        return _distinct(found, root_source), given.origin
    usual = _usual(root_source)
    return _distinct(usual, root_source), "default" if usual else "default (none, as the root is not huggingface.co)"


def _usual(root_source: Source) -> tuple[Source, ...]:
    is_public = _is_hub(root_source) or root_source.url in {mirror.url for mirror in default_mirrors()}
    return default_mirrors() if is_public else ()


def proxies(layers: Layers) -> dict[str, tuple[str, str]]:
    """Addresses of mirrors -> the proxy of each, and its origin.

    The proxy belongs to the site: it holds for a mirror of this address that a flag or a variable names, too.
    """
    found: dict[str, tuple[str, str]] = {}
    for given in reversed(tuple(given for given in layers.find("mirrors") if given.file)):
        for number, table in enumerate(given.raw if isinstance(given.raw, list) else (), 1):
            if not isinstance(table, dict) or not table.get("proxy"):
                continue
            origin = f"{given.origin} {number}"
            one = replace(given, raw=table["proxy"], origin=origin)
            found[_table(given, number, table).url] = (own_login(one, one.read(values.proxy)), origin)
    return found


def own_login(given: Given, proxy: str) -> str:
    """Refuse the login of a proxy where others read it: on a command line, or in a folder's file."""
    if isinstance(proxy, values.Secret):
        instead = "put it into your own file (glm-aria config path), or into GLM_ARIA_PROXY"
        if given.is_flag:
            raise given.error("a password on the command line can be read by all users of this machine", hint=instead)
        if given.file and not given.file.is_personal:
            raise given.error("a working directory's file must not hold a password", hint=instead)
    return proxy


def policy(layers: Layers) -> tuple[Policy, str]:
    """The trust policy. The working directory's file may only raise it.

    It may have come with somebody's repository, and a lower policy would let a mirror of its choice name the digests.
    """
    layers_with_one = layers.find("policy")
    given = next(layers_with_one, None)
    if given is None:
        return Policy.AGREE, "default"
    chosen = given.read(values.policy)
    if given.file and not given.file.is_personal:
        below = next(layers_with_one, None)
        otherwise = below.read(values.policy) if below else Policy.AGREE
        if chosen.is_weaker_than(otherwise):
            raise given.error(
                f"{chosen.value!r} is weaker than {otherwise.value!r}, which holds without it; a working directory's "
                "file must not lower the trust",
                hint="put it into your own file (glm-aria config path), or give --trust",
            )
    return chosen, given.origin


def aliases(layers: Layers) -> tuple[dict[str, str], str]:
    """Names on Hugging Face -> names elsewhere, of all layers together, and the origin of the highest."""
    merged, origin = dict(DEFAULT_ALIASES), "default"
    for given in reversed(tuple(layers.find("aliases"))):
        if not isinstance(given.raw, dict):
            raise given.error("must be a table of names")
        for name, other in given.raw.items():
            if not isinstance(other, str):
                raise given.error(f"{name!r}: the other name must be a text")
            try:
                merged[RepoId(RepoType.MODEL, name).name] = RepoId(RepoType.MODEL, other).name
            except UsageError as error:
                raise given.error(error.message, hint=error.hint) from error
        origin = given.origin
    return merged, origin


def place(source: Source) -> str:
    """The server of a source as `token_hosts` names it: `host`, or `host:port` where the port is not the scheme's."""
    parts = urlsplit(source.url)
    host = f"[{source.host}]" if ":" in source.host else source.host
    return host if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f"{host}:{parts.port}"


def _is_hub(source: Source) -> bool:
    return source.url.lower() == HUB


def _addresses(given: Given) -> tuple[Source, ...]:
    return tuple(_parse(given, address) for address in given.read(values.addresses))


def _tables(given: Given) -> tuple[Source, ...]:
    if not isinstance(given.raw, list) or not all(isinstance(table, dict) for table in given.raw):
        raise given.error("must be a list of tables", hint="start each one with [[mirror]]")
    return tuple(_table(given, number, table) for number, table in enumerate(given.raw, 1))


def _table(given: Given, number: int, table: Mapping[str, object]) -> Source:
    def refuse(message: str) -> NoReturn:
        raise given.error(f"mirror {number}: {message}")

    for key, value in table.items():
        if key not in _MIRROR_KEYS:
            refuse(f"unknown key {key!r}; known are {', '.join(_MIRROR_KEYS)}")
        if not isinstance(value, str):
            refuse(f"{key} must be a text")
    name, kind, url, _ = (str(table.get(key, "")) for key in _MIRROR_KEYS)
    if not url:
        refuse("url is missing")
    if name and not _NAME.fullmatch(name):
        refuse(f"the name {name!r} must be letters, digits and . _ : - only")
    return _parse(given, f"{kind}+{url}" if kind else url, name=name or None)


def _parse(given: Given, text: str, *, name: str | None = None, is_root: bool = False) -> Source:
    try:
        source = parse_source(text, name=name, is_root=is_root)
    except (UsageError, ValueError) as error:
        message, hint = (error.message, error.hint) if isinstance(error, UsageError) else (str(error), None)
        raise given.error(message, hint=hint) from error
    return source


def _distinct(sources: tuple[Source, ...], root_source: Source) -> tuple[Source, ...]:
    """Drop what is named twice, and tell apart different mirrors of one name: reports are keyed by it."""
    kept: list[Source] = []
    names = {root_source.name}
    for source in sources:
        if any((source.url, source.kind) == (other.url, other.kind) for other in (root_source, *kept)):
            continue
        name, number = source.name, 1
        while name in names:
            number += 1
            name = f"{source.name}-{number}"
        names.add(name)
        kept.append(replace(source, name=name))
    return tuple(kept)
