"""Shards: one model in several files, numbered at the end of their names as `-00001-of-00003`."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-\d{5}-of-\d{5}\Z")


def without_shard(stem: str) -> str:
    """The name of a file, without its suffix, as all shards of the model have it."""
    return _NUMBER.sub("", stem)
