"""Variables of the environment that hold secrets: hidden from commands that we run."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.settings.table import KEYS, Settings
from orchestrator.settings.values import Secret


def without_secrets(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment without the variables that hold a token or a password, whatever they are called.

    Those of settings are looked at by their own text, too: a flag may win over them.
    """
    named = {variable for key in KEYS.values() if key.is_secret for variable in key.variables}
    logins = {variable for key in KEYS.values() if key.may_hold_login for variable in key.variables}
    said = (*(getattr(settings, name, None) for name in KEYS), *settings.mirror_proxies.values())
    secrets = [value for value in said if isinstance(value, Secret)]
    return {
        name: text
        for name, text in environ.items()
        if name not in named and not (name in logins and "@" in text) and not any(secret in text for secret in secrets)
    }
