"""`glm-aria cache`: the group of the commands that look at the cache and clean it up."""

from __future__ import annotations

import click

from orchestrator.cli.commands.cache import contents, folders, removal


@click.group()
def cache() -> None:
    """Inspect the cache, share it with folders, clean it up.

    This is the cache of huggingface_hub; all commands respect the files and the running downloads of other programs.
    REF is org/name for all revisions of a model, or org/name@revision for one.

    \b
    Examples:
      glm-aria cache ls
      glm-aria cache gc --older-than 30d
      glm-aria cache gc --keep-size 200G --yes
      glm-aria cache rm org/name@v1 --yes
      glm-aria cache pin org/name
      glm-aria cache link org/name my-project
      glm-aria cache import /media/usb --model org/name
    """


for command in (
    contents.ls,
    contents.du,
    contents.pin,
    contents.unpin,
    removal.rm,
    removal.gc,
    folders.link,
    folders.import_,
):
    cache.add_command(command)
