"""The layers that a setting may come from, the highest first, and what each says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from orchestrator.errors import ConfigError, GlmAriaError, UsageError
from orchestrator.settings import values

Value = TypeVar("Value")


class Key(NamedTuple):
    """How a setting is spelled in each layer. An empty `toml` means that files cannot set it."""

    flag: str
    variables: tuple[str, ...]
    toml: str
    read: values.Reader


KEYS: dict[str, Key] = {
    "cache_dir": Key(
        "--cache-dir", ("GLM_ARIA_CACHE_DIR", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"), "cache.dir", values.path
    ),
    "root": Key("--root", ("GLM_ARIA_ROOT", "HF_ENDPOINT"), "trust.root", values.text),
    "policy": Key("--trust", ("GLM_ARIA_TRUST",), "trust.policy", values.policy),
    "mirrors": Key("--mirror", ("GLM_ARIA_MIRRORS",), "mirror", values.addresses),
    "token": Key("", ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), "", values.text),
    "token_file": Key("--token-file", ("GLM_ARIA_TOKEN_FILE",), "trust.token_file", values.path),
    "token_hosts": Key("", ("GLM_ARIA_TOKEN_HOSTS",), "trust.token_hosts", values.hosts),
    "aliases": Key("", (), "aliases", values.text),
    "connections_per_mirror": Key(
        "--connections", ("GLM_ARIA_CONNECTIONS",), "transfer.connections_per_mirror", values.whole(1, 64)
    ),
    "connection_budget": Key("", ("GLM_ARIA_CONNECTION_BUDGET",), "transfer.connection_budget", values.whole(1, 1024)),
    "jobs": Key("--jobs", ("GLM_ARIA_JOBS",), "transfer.jobs", values.whole(1, 1024)),
    "max_speed": Key("--max-speed", ("GLM_ARIA_MAX_SPEED",), "transfer.max_speed", values.speed),
    "rpc": Key("--rpc", ("GLM_ARIA_RPC",), "aria2.rpc", values.rpc),
    "rpc_secret_file": Key("--rpc-secret-file", ("GLM_ARIA_RPC_SECRET_FILE",), "aria2.rpc_secret_file", values.path),
    "proxy": Key("--proxy", ("GLM_ARIA_PROXY",), "transfer.proxy", values.proxy),
    "dns_resolvers": Key("", ("GLM_ARIA_DNS_RESOLVERS",), "dns.resolvers", values.resolvers),
    "root_proxy": Key("", ("GLM_ARIA_ROOT_PROXY",), "trust.root_proxy", values.proxy),
    "no_proxy": Key("", ("GLM_ARIA_NO_PROXY", "no_proxy", "NO_PROXY"), "transfer.no_proxy", values.places),
    "ca_bundle": Key(
        "",
        ("GLM_ARIA_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
        "tls.ca_bundle",
        values.certificates,
    ),
    "offline": Key(
        "--offline", ("GLM_ARIA_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), "transfer.offline", values.switch
    ),
    "disable_symlinks": Key(
        "", ("GLM_ARIA_DISABLE_SYMLINKS", "HF_HUB_DISABLE_SYMLINKS"), "cache.disable_symlinks", values.switch
    ),
    "portable": Key("--portable", ("GLM_ARIA_PORTABLE",), "cache.portable", values.switch),
    "etag_timeout": Key("", ("GLM_ARIA_ETAG_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"), "transfer.etag_timeout", values.seconds),
    "download_timeout": Key(
        "", ("GLM_ARIA_DOWNLOAD_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), "transfer.download_timeout", values.seconds
    ),
    "shared_redis": Key("", ("GLM_ARIA_SHARED_REDIS",), "shared.redis", values.redis),
}

# What `--on-change` tells its command. No settings; a glm-aria that the command calls must not take them for mistakes.
TOLD = ("GLM_ARIA_REF", "GLM_ARIA_SNAPSHOT", "GLM_ARIA_OLD_COMMIT", "GLM_ARIA_NEW_COMMIT")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A settings file, read and flattened: `trust.root` -> value. Keys with an empty value are left out."""

    path: Path
    keys: Mapping[str, object]
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Given:
    """What a layer says: the raw value, where it stands, and the folder that relative paths start from."""

    raw: object
    origin: str
    base: Path
    is_flag: bool = False
    variable: str = ""
    file: ConfigFile | None = None

    def read(self, reader: Callable[[object, Path], Value]) -> Value:
        """The value. Raises UsageError for a flag, ConfigError for the rest, both naming the origin."""
        is_shared = self.variable and not self.variable.startswith("GLM_ARIA_")
        try:
            if reader in (values.path, values.certificates) and not is_shared:
                values.refuse_unset(self.raw)
            return reader(self.raw, self.base)
        except ValueError as error:
            raise self.error(str(error)) from error

    def error(self, message: str, hint: str | None = None) -> GlmAriaError:
        """The error for a value that is wrong."""
        kind = UsageError if self.is_flag else ConfigError
        return kind(f"{self.origin}: {message}", hint=hint or self._mending())

    def _mending(self) -> str | None:
        # Not `config show`: it reads the same settings, and ends the same way.
        if self.variable:
            return f"correct it, or take it away: unset {self.variable}"
        if self.file:
            return f"correct it in {self.file.path}"
        return None if self.is_flag else "for example: export HF_HOME=/a/folder"


@dataclass(frozen=True, slots=True)
class Layers:
    """All layers. `files` the highest first."""

    flags: Mapping[str, object]
    environ: Mapping[str, str]
    files: tuple[ConfigFile, ...]
    folder: Path

    def find(self, name: str) -> Iterator[Given]:
        """What the layers say about a setting, the highest first. An empty variable counts as not set."""
        key = KEYS[name]
        if self.flags.get(name) is not None:
            yield Given(self.flags[name], f"flag {key.flag}", self.folder, is_flag=True)
        for variable in key.variables:
            if self.environ.get(variable, "").strip():
                yield Given(self.environ[variable], f"environment {variable}", self.folder, variable=variable)
        for file in self.files:
            if key.toml in file.keys:
                yield Given(file.keys[key.toml], f"file {file.path}:{key.toml}", file.path.parent, file=file)


def misspelled(environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Variables that start like ours and are not, each with the name that was probably meant."""
    known = [name for key in KEYS.values() for name in key.variables if name.startswith("GLM_ARIA_")]
    for name in sorted(environ):
        if name.startswith("GLM_ARIA_") and name not in known and name not in TOLD:
            import difflib

            yield name, next(iter(difflib.get_close_matches(name, known, 1)), None)
