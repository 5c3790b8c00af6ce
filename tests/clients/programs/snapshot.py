"""snapshot.py TYPE NAME REVISION: `snapshot_download`, as programs call it."""

import sys

from huggingface_hub import snapshot_download

print(snapshot_download(sys.argv[2], repo_type=sys.argv[1], revision=sys.argv[3]))
