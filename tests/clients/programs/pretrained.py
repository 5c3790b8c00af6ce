"""pretrained.py TYPE NAME REVISION: what `from_pretrained` does of a model: configuration, tokenizer, weights.

The weights are fetched and read as transformers does it, which then needs torch to make a model of them.
"""

import sys
from collections.abc import Callable

from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import hub

name, revision = sys.argv[2:]
AutoConfig.from_pretrained(name, revision=revision)
AutoTokenizer.from_pretrained(name, revision=revision)("the model is proved")
agent = {"file_type": "model", "framework": "pytorch", "from_auto_class": True}
index = hub.cached_file(name, "model.safetensors.index.json", revision=revision, user_agent=agent)
get_shards: Callable[..., tuple[list[str], dict[str, list[str]]]] = hub.get_checkpoint_shard_files
shards, about = get_shards(name, index, revision=revision, user_agent=agent)
names = set()
for shard in shards:
    with safe_open(shard, framework="np") as opened:
        names |= set(opened.keys())
assert names == set(about["all_checkpoint_keys"])
