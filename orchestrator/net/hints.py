"""What to type next when a site refuses: the same words wherever the refusal is met."""

from __future__ import annotations


def login(site_url: str) -> str:
    """How to get a token to a run."""
    return f"make a token at {site_url}/settings/tokens, then: hf auth login, or export HF_TOKEN=…"


def licence(site_url: str, repo_path: str, *, had_token: bool) -> str:
    """How to be let into a gated repo; `had_token` says whether the request carried a token."""
    accept = f"accept the licence at {site_url}/{repo_path} with the account of your token"
    return accept if had_token else f"{login(site_url)}; and {accept}"
