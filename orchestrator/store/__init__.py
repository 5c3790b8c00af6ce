"""The disk: parts in the stage, proven blobs in the Hugging Face cache, and what we remember of both.

Imports `core`, `errors`, `events` and `oserrors` only. Every OSError leaves translated, by `oserrors`.
"""
