"""Flags, environment and files become one frozen `Settings`; each value knows where it came from.

The highest layer that says something about a setting wins whole: flags, environment (`GLM_ARIA_*` before the Hugging
Face names), `glm-aria.toml` in the working directory, the user's config file, defaults. Only `aliases` are merged.
`--config FILE` names a file that takes the place of the working directory's.

Secrets stay at home. The token goes to the root and to `trust.token_hosts`, but a root that HF_ENDPOINT names is no
token host by that. The working directory's file may have come with somebody's repository: `settings.files` says what it
must not decide, and when it is not read at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orchestrator.core.addresses import is_this_machine, parse_address
from orchestrator.core.sources import Source
from orchestrator.disk import places
from orchestrator.errors import ConfigError
from orchestrator.settings import sites, values
from orchestrator.settings.files import exposed_secret, read_folder_file, read_own_file
from orchestrator.settings.layers import Given, Layers, misspelled
from orchestrator.settings.sites import HUB, default_mirrors
from orchestrator.settings.table import KEYS, PLAIN, Caution, Settings
from orchestrator.settings.token import token as _find_token
from orchestrator.settings.values import Secret

__all__ = ["FILE_NAME", "HUB", "Caution", "Secret", "Settings", "default_mirrors", "load", "user_file"]

FILE_NAME = "glm-aria.toml"


def user_file() -> Path:
    """The user's config file, whether or not it exists. Raises ConfigError where there is no place for one."""
    folder = places.config_folder()
    if folder is None:
        raise ConfigError("this user has no home folder to keep settings in", hint="set HOME or XDG_CONFIG_HOME")
    return folder / "glm-aria" / "config.toml"


def load(
    flags: Mapping[str, object] | None = None,
    *,
    spelled: Mapping[str, str] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    personal: Path | None = None,
    named: Path | None = None,
) -> Settings:
    """Read all layers.

    `flags` maps names of `Settings` fields (and `token_file`) to what the command line gave; None is not given.
    `spelled` are the flags of a command that calls some of them otherwise. The rest defaults to the process: its
    environment, its working directory, `user_file()`. `named` is a file that the user names on purpose: it takes the
    place of the working directory's and counts like the user's own.
    Raises UsageError for a flag, ConfigError for a variable, a file or a key of it.
    """
    environ = os.environ if environ is None else environ
    cautions: list[Caution] = []
    if folder is None and (folder := places.working_directory()) is None:
        folder = Path()
        cautions.append(Caution("no-working-directory", "the working directory is gone; its settings, too"))
    if personal is None:
        with contextlib.suppress(ConfigError):  # without a home there is none
            personal = user_file()
    own = read_own_file(personal, cautions) if personal and _is_open(personal, cautions) else None
    upper = None
    if named is not None:
        upper = read_own_file(named, cautions, is_named=True)
    elif _is_open(folder / FILE_NAME, cautions):
        upper = read_folder_file(folder / FILE_NAME, cautions, own)
    files = tuple(file for file in (upper, own) if file is not None)
    layers = Layers(flags or {}, environ, files, folder, spelled)
    return _settings(layers, cautions)


def _is_open(path: Path, cautions: list[Caution]) -> bool:
    if places.is_closed(path.parent):
        cautions.append(Caution("settings-unreadable", f"{path} is not read: its folder is closed to this user"))
        return False
    return True


def _settings(layers: Layers, cautions: Sequence[Caution]) -> Settings:
    origins: dict[str, str] = {}
    plain: dict[str, Any] = {}
    for name in PLAIN:
        value, origins[name] = _first(layers, name)
        if origins[name] != "default":
            plain[name] = value
    cautions = [*cautions, *_exposed(layers, plain.get("rpc_secret_file"))]
    mirror_proxies = sites.proxies(layers)
    origins["mirror_proxies"] = next((origin for _, origin in mirror_proxies.values()), "default")
    hf_home, origins["hf_home"] = _hf_home(layers)
    cache_dir, origins["cache_dir"] = _first(layers, "cache_dir")
    root = sites.root(layers)
    origins["root"] = root.origin
    policy, origins["policy"] = sites.policy(layers)
    mirrors, origins["mirrors"] = sites.mirrors(layers, root.source)
    _refuse_detours(layers, (root.source, *mirrors))
    aliases, origins["aliases"] = sites.aliases(layers)
    token, origins["token"] = _find_token(layers, hf_home)
    token_hosts, origins["token_hosts"] = _first(layers, "token_hosts")
    token_hosts = frozenset(token_hosts or ())
    if root.may_see_token:
        token_hosts |= {sites.place(root.source)}
    return Settings(
        hf_home=hf_home,
        cache_dir=cache_dir if cache_dir is not None else hf_home / "hub",
        root=root.source,
        policy=policy,
        mirrors=mirrors,
        token=token,
        token_hosts=token_hosts,
        aliases=aliases,
        mirror_proxies={url: proxy for url, (proxy, _) in mirror_proxies.items()},
        token_withheld=_withheld(root, token_hosts) if token else None,
        origins=origins,
        warnings=(
            *cautions,
            *_plain_http((root.source, *mirrors)),
            *_rpc_in_the_clear(plain),
            *_meaningless(layers),
            *_misspelled(layers.environ),
        ),
        **plain,
    )


def _first(layers: Layers, name: str) -> tuple[Any, str]:
    for given in layers.find(name):
        if given.variable.lower() == "no_proxy":
            return given.read(values.shared_places), given.origin
        if KEYS[name].read is values.proxy:
            return sites.own_login(given, given.read(values.proxy)), given.origin
        return given.read(KEYS[name].read), given.origin
    return None, "default"


def _hf_home(layers: Layers) -> tuple[Path, str]:
    for variable, below in (("HF_HOME", ""), ("XDG_CACHE_HOME", "huggingface")):
        if layers.environ.get(variable, "").strip():
            origin = f"environment {variable}"
            given = Given(layers.environ[variable], origin, layers.folder, variable=variable)
            return given.read(values.path) / below, origin
    return Given("~/.cache/huggingface", "the usual place of the cache", layers.folder).read(values.path), "default"


def _withheld(root: sites.Root, token_hosts: frozenset[str]) -> str | None:
    host = sites.place(root.source)
    if root.source.url.startswith("http:") and not is_this_machine(root.source.host):
        return f"your token is not sent to {host} over plain http"
    if host in token_hosts:
        return None
    return (
        f"your token is not sent to {host}, which only {root.origin} names: use --root {root.source.url}, "
        f'or token_hosts = ["{host}"] below [trust] in your own file (glm-aria config path)'
    )


def _plain_http(sources: tuple[Source, ...]) -> list[Caution]:
    return [
        Caution("plain-http", f"{source.url} is plain http: others can read and change the traffic on the way")
        for source in sources
        if source.url.startswith("http:") and not is_this_machine(source.host)
    ]


def _rpc_in_the_clear(plain: Mapping[str, Any]) -> Iterator[Caution]:
    rpc, secret = plain.get("rpc"), plain.get("rpc_secret_file")
    if rpc and secret and rpc.startswith("http:"):
        place = parse_address(rpc).place
        if not is_this_machine(place.host.lower()):
            message = f"the secret of the aria2 at {place} goes there over plain http: others can read it on the way"
            yield Caution("plain-http", message)


def _meaningless(layers: Layers) -> Iterator[Caution]:
    """Entries of NO_PROXY that are no host and no network. Other programs may read them in their own way."""
    given = next(layers.find("no_proxy"), None)
    if given and given.variable.lower() == "no_proxy":
        taken = given.read(values.shared_places)
        for entry in str(given.raw).replace(",", " ").split():
            if entry not in taken:
                yield Caution("no-proxy-entry", f"{given.origin}: {entry!r} is neither a host name nor a network")


def _exposed(layers: Layers, rpc_secret_file: Path | None) -> Iterator[Caution]:
    """Secret files that others may read or write. A token that huggingface_hub keeps is told by its own file's name."""
    for given in layers.find("token_file"):
        yield from exposed_secret(given.read(values.path))
        break
    if rpc_secret_file is not None:
        yield from exposed_secret(rpc_secret_file)


def _refuse_detours(layers: Layers, sources: tuple[Source, ...]) -> None:
    """Refuse a proxy or resolvers of the working directory's file where a site that is believed has no TLS.

    Over plain http, who stands in the way decides what the site says.
    """
    plain = [s for s in sources if s.is_believed and s.url.startswith("http:") and not is_this_machine(s.host)]
    for name in ("proxy", "dns_resolvers"):
        given = next(layers.find(name), None)
        if plain and given and given.file and not given.file.is_personal:
            raise given.error(
                f"{plain[0].url} is plain http, so a working directory's file must not choose the way there",
                hint=f"put it into your own file (glm-aria config path); if this file is yours: --config {FILE_NAME}",
            )


def _misspelled(environ: Mapping[str, str]) -> list[Caution]:
    return [
        Caution("unknown-variable", f"{name} is not a setting" + (f"; did you mean {close}?" if close else ""))
        for name, close in misspelled(environ)
    ]
