"""Who may read what, and how the Hub says no.

The Hub hides what it does not show: without a token a missing and a private repository both answer 401; with a
valid token that has no access both answer 404 RepoNotFound. A gated repository shows its listing to all and its
files to those with access.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request, json_reply


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the server
    """Carries the reply that ends a request early."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Refused:
    """An error as the Hub words it: X-Error-Code, X-Error-Message and the same message in a JSON body."""
    named = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refused(json_reply({"error": message}, status, named | extra))


@dataclass
class Shelf:
    """The repositories of a face, and the tokens that open the closed ones."""

    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    tokens: Mapping[str, Collection[str]] = field(default_factory=dict)
    explicit_codes: bool = True

    @classmethod
    def of(cls, repos: Iterable[Repo], tokens: Mapping[str, Collection[str]], *, explicit_codes: bool = True) -> Shelf:
        made = cls(tokens=tokens, explicit_codes=explicit_codes)
        for repo in repos:
            made.add(repo)
        return made

    def add(self, repo: Repo) -> None:
        self.repos[repo.repo_type, repo.name] = repo

    def known(self, repo_type: str, name: str) -> bool:
        return (repo_type, name) in self.repos or self.renamed(repo_type, name) is not None

    def renamed(self, repo_type: str, name: str) -> str | None:
        """The present name of a repository that used to be called `name`."""
        for (kind, present), repo in self.repos.items():
            if kind == repo_type and name in repo.renamed_from:
                return present
        return None

    def check_token(self, request: Request) -> str | None:
        token = request.token
        if token is not None and token not in self.tokens:
            raise refusal(401, "Invalid credentials in Authorization header")
        return token

    def open(self, request: Request, repo_type: str, name: str, *, for_files: bool) -> Repo:
        """The repository, if this request may see it (and its files); else raise the Hub's refusal."""
        token = self.check_token(request)
        repo = self.repos.get((repo_type, name))
        allowed = token is not None and name in self.tokens[token]
        if repo is None or (repo.private and not allowed):
            if token is None:
                # Over https clients read a bare 401 as 'not found'; over http only with the code (see hub facts).
                code = "RepoNotFound" if self.explicit_codes else None
                raise refusal(401, "Invalid username or password.", code)
            raise refusal(404, "Repository not found", "RepoNotFound")
        if repo.disabled:
            raise refusal(403, "Access to this resource is disabled.")
        if for_files and repo.gated and not allowed:
            if token is None:
                tail = "You must have access to it and be authenticated to access it. Please log in."
                raise refusal(401, f"Access to {repo_type} {name} is restricted. {tail}", "GatedRepo")
            tail = "and you are not in the authorized list. Visit the repository's page to ask for access."
            raise refusal(403, f"Access to {repo_type} {name} is restricted {tail}", "GatedRepo")
        return repo
