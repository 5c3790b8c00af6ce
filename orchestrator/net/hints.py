"""Hints for refusals of a site: the same words for all callers."""

from __future__ import annotations


def login(site_url: str) -> str:
    """The hint to give a run a token."""
    return f"make a token at {site_url}/settings/tokens, then: hf auth login, or export HF_TOKEN=…"


def licence(site_url: str, repo_path: str, *, had_token: bool) -> str:
    """The hint to get access to a gated repo; `had_token` says whether the request carried a token."""
    accept = f"accept the licence at {site_url}/{repo_path} with the account of your token"
    return accept if had_token else f"{login(site_url)}; and {accept}"
