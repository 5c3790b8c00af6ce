"""The beginning of glm-aria.pyz: refuse to unpack into the working directory, where others may have been first.

That is where `~` leads for a user without a home folder: pex takes it for a name.
"""

import os

if os.path.expanduser("~") == "~" and not (os.environ.get("PEX_ROOT") or os.environ.get("XDG_CACHE_HOME")):  # noqa: PTH111
    raise SystemExit(
        "error: this file unpacks itself below your home folder, and there is none\n"
        "hint: set HOME, or PEX_ROOT, to a folder that nobody else may write to"
    )
