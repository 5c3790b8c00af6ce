"""The user's Hub token: found where huggingface_hub finds it, checked, and never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator.errors import ConfigError, GlmAriaError
from orchestrator.settings import values
from orchestrator.settings.layers import Given, Layers
from orchestrator.settings.values import Secret
from orchestrator.system.small_files import SETTINGS_BYTES, read_named, read_small

_LONGEST = 4096


def token(layers: Layers, hf_home: Path) -> tuple[Secret | None, str]:
    """The token and its origin.

    What a caller from Python gives comes first. A token file that was named wins over the rest and must exist; then
    HF_TOKEN, HUGGING_FACE_HUB_TOKEN, then $HF_TOKEN_PATH or $HF_HOME/token if there is one.
    HF_HUB_DISABLE_IMPLICIT_TOKEN leaves only the named file.
    """
    if said := layers.flags.get("token"):
        return _checked(str(said), "the token that was given"), "the caller"
    for given in layers.find("token_file"):
        file = given.read(values.path)
        found = _from_file(file, read_named)
        if found is None:
            raise given.error(f"{file} does not exist or is empty")
        return found, f"{given.origin} ({file})"
    if _is_disabled(layers.environ):
        return None, "environment HF_HUB_DISABLE_IMPLICIT_TOKEN"
    for given in layers.find("token"):
        return _checked(str(given.raw), given.origin), given.origin
    named = layers.environ.get("HF_TOKEN_PATH", "").strip()
    file = hf_home / "token"
    if named:
        file = Given(named, "environment HF_TOKEN_PATH", layers.folder, variable="HF_TOKEN_PATH").read(values.path)
    found = _from_file(file, partial(read_small, follow=True))
    return (found, f"file {file}") if found else (None, "default")


def _is_disabled(environ: Mapping[str, str]) -> bool:
    variable = "HF_HUB_DISABLE_IMPLICIT_TOKEN"
    raw = environ.get(variable, "")
    return bool(raw.strip()) and bool(
        Given(raw, f"environment {variable}", Path(), variable=variable).read(values.switch)
    )


def _from_file(file: Path, read: Callable[[Path, int], bytes]) -> Secret | None:
    try:
        content = read(file, SETTINGS_BYTES).decode("ascii", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"the token file {file} cannot be read: {error.strerror}") from error
    return _checked(content, f"file {file}") if content.strip() else None


def _checked(raw: str, origin: str) -> Secret:
    """A token becomes a header line, so anything but visible ASCII is refused; it is not quoted in the error."""
    text = raw.strip()
    if len(text) > _LONGEST or not all("!" <= character <= "~" for character in text):
        raise _malformed(origin)
    return Secret(text)


def _malformed(origin: str) -> GlmAriaError:
    return ConfigError(
        f"{origin}: the token is malformed: it must be one word of visible ASCII characters",
        hint="copy it again from the site's settings page; it usually starts with hf_",
    )
