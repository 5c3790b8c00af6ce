"""docs/schema.json: what the commands print with `--json`, as a JSON Schema made from the types of their documents."""

from __future__ import annotations

from orchestrator.aria2.document import BusyDaemonDocument, DaemonDocument
from orchestrator.catalogs.search.document import SearchDocument
from orchestrator.desired.document import CarriedSetDocument, SetDigestDocument, SetStatusesDocument
from orchestrator.desired.status import SetStatus, WatchedSetDocument
from orchestrator.doctor.document import DoctorDocument
from orchestrator.doctor.past_documents import HistoryDocument, TuneDocument
from orchestrator.doctor.source_documents import ForgivenDocument, KnownSources, ProbeDocument
from orchestrator.documents import ALWAYS, SCHEMA, Document, ErrorEntry, Json, WarningEntry, schema_of
from orchestrator.exports.document import ExportDocument
from orchestrator.folders.documents import ImportDocument, LinkDocument
from orchestrator.lists.document import LockDiffDocument
from orchestrator.manual import ManualDocument
from orchestrator.predict.document import EvaluationDocument, ExportedTraceDocument, ForecastDocument
from orchestrator.publishing.document import PushDocument
from orchestrator.pulling.document import PlanDocument, PullDocument
from orchestrator.registry.document import (
    CheckDocument,
    DiffDocument,
    ModelsDocument,
    ModelVersionsDocument,
    RemovedAliasDocument,
    ResolvedDocument,
    TrailDocument,
)
from orchestrator.runs.document import StatusDocument
from orchestrator.serve.access.document import NewTokenDocument, TokensDocument
from orchestrator.serve.document import EvictDocument, PrefetchDocument, ServeDocument
from orchestrator.settings.document import SettingsDocument
from orchestrator.shared.document import NodesDocument
from orchestrator.swarm.control.document import FleetDocument, FleetTaskDocument, NodeDocument, SchedulerDocument
from orchestrator.upkeep.documents import CacheDocument, CollectDocument, PinsDocument, VerifyDocument
from orchestrator.watch.document import WatchDocument

# The type of each command's data; two types: either.
DATA: dict[str, tuple[type, ...]] = {
    "pull": (PullDocument,),
    "plan": (PlanDocument,),
    "search": (SearchDocument,),
    "verify": (VerifyDocument,),
    "cache gc": (CollectDocument,),
    "cache rm": (CollectDocument,),
    "cache ls": (CacheDocument, NodesDocument),
    "cache du": (CacheDocument,),
    "cache pin": (PinsDocument,),
    "cache unpin": (PinsDocument,),
    "cache link": (LinkDocument,),
    "cache import": (ImportDocument,),
    "export": (ExportDocument,),
    "watch": (WatchDocument, WatchedSetDocument),
    "serve": (ServeDocument,),
    "scheduler": (SchedulerDocument,),
    "node": (NodeDocument, SetStatus),
    "fleet submit": (FleetTaskDocument,),
    "fleet watch": (FleetTaskDocument,),
    "fleet cancel": (FleetTaskDocument,),
    "fleet status": (SetStatusesDocument,),
    "fleet wait": (SetStatusesDocument,),
    "state digest": (SetDigestDocument,),
    "state export": (CarriedSetDocument,),
    "state import": (CarriedSetDocument,),
    "fleet ls": (FleetDocument,),
    "fleet drain": (FleetDocument,),
    "push": (PushDocument,),
    "registry ls": (ModelVersionsDocument, ModelsDocument),
    "registry show": (ResolvedDocument,),
    "registry alias": (ResolvedDocument, RemovedAliasDocument),
    "registry check": (CheckDocument,),
    "registry diff": (DiffDocument,),
    "registry log": (TrailDocument,),
    "token create": (NewTokenDocument,),
    "token ls": (TokensDocument,),
    "token revoke": (TokensDocument,),
    "serve prefetch": (PrefetchDocument,),
    "serve evict": (EvictDocument,),
    "mirrors ls": (KnownSources,),
    "mirrors probe": (ProbeDocument,),
    "mirrors forgive": (ForgivenDocument,),
    "doctor": (DoctorDocument,),
    "status": (StatusDocument,),
    "history": (HistoryDocument,),
    "predict train": (ForecastDocument,),
    "predict show": (ForecastDocument,),
    "predict evaluate": (EvaluationDocument,),
    "predict export": (ExportedTraceDocument,),
    "lock diff": (LockDiffDocument,),
    "daemon start": (DaemonDocument,),
    "daemon stop": (DaemonDocument,),
    "daemon status": (BusyDaemonDocument, DaemonDocument),
    "config show": (SettingsDocument,),
    "config tune": (TuneDocument,),
    "explain": (ManualDocument,),
}


def schema() -> Json:
    """The schema of all documents. A run that failed has no data but the list of `documents.ALWAYS`."""
    envelope = schema_of(Document)
    properties: Json = envelope["properties"] | {
        "schema": {"const": SCHEMA},
        "data": {"type": "object"},
        "warnings": {"type": "array", "items": {"$ref": "#/$defs/warning"}},
        "errors": {"type": "array", "items": {"$ref": "#/$defs/error"}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "description": "What a command of glm-aria prints with --json. Made by scripts/check-docs --write.",
        "type": "object",
        "required": envelope["required"],
        "properties": properties,
        "allOf": [_of_command(name, kinds) for name, kinds in DATA.items()],
        "$defs": {"warning": schema_of(WarningEntry), "error": schema_of(ErrorEntry)},
    }


def _of_command(name: str, kinds: tuple[type, ...]) -> Json:
    always = [ALWAYS[name]] if name in ALWAYS else []
    data: list[Json] = [schema_of(kind) | {"required": always} for kind in kinds]
    return {
        "if": {"properties": {"command": {"const": name}}},
        "then": {"properties": {"data": data[0] if len(data) == 1 else {"anyOf": data}}},
    }
