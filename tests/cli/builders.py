"""Reports and plans as the services return them."""

from collections.abc import Callable
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.plan import Found, Have, Plan, ResolvedModel, merge, plan_model
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Trust
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.pulling.report import FileReport, FileState, ModelReport, PullReport

COMMIT = "c" * 40
TRUST = Trust("root", "https://huggingface.co")
WEIGHTS = RepoFile("model.safetensors", 5_000_000, Digest(Algorithm.SHA256, "a" * 64), is_lfs=True)
CONFIG = RepoFile("config.json", 100, Digest(Algorithm.GIT_SHA1, "b" * 40), is_lfs=False)
README = RepoFile("README.md", 200, Digest(Algorithm.GIT_SHA1, "d" * 40), is_lfs=False)


def done(ref: str = "org/name", **changes: object) -> ModelReport:
    values: dict[str, object] = {
        "ref": parse_ref(ref),
        "commit": COMMIT,
        "trust": TRUST,
        "snapshot": Path("/cache/models--org--name/snapshots") / COMMIT,
        "files": (
            FileReport(WEIGHTS, FileState.FETCHED, {"hf-mirror": 4_000_000, "huggingface.co": 1_000_000}),
            FileReport(CONFIG, FileState.ALREADY),
            FileReport(README, FileState.LINKED),
        ),
        "seconds": 2.0,
    }
    return ModelReport(**(values | changes))  # type: ignore[arg-type]


def failed(error: GlmAriaError, ref: str = "org/broken") -> ModelReport:
    return ModelReport(str(parse_ref(ref)), error=error)


def report(*models: ModelReport, interrupted: int | None = None) -> PullReport:
    return PullReport(models or (done(),), interrupted)


def telling(made: PullReport, *notices: Notice) -> Callable[..., PullReport]:
    """A pull that emits notices and returns `made`."""

    def run(_settings: object, _request: object, emit: Emit) -> PullReport:
        for notice in notices:
            emit(notice)
        return made

    return run


def plan_of(ref: str = "org/name") -> Plan:
    tree = RepoTree.checked(COMMIT, (WEIGHTS, CONFIG, README))
    found = {
        CONFIG.digest: Found(Have.PLACED),
        README.digest: Found(Have.ELSEWHERE, Path("/cache/other")),
    }
    return merge([plan_model(ResolvedModel(parse_ref(ref), tree, tree, TRUST), found)])
