"""The REST calls of the registry: one table, from which requests are told apart and the OpenAPI document is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator import __version__
from orchestrator.documents import Json, schema_of
from orchestrator.oci.manifest import MANIFESTS
from orchestrator.registry.document import (
    AliasEntry,
    CheckDocument,
    DiffDocument,
    ModelsDocument,
    ModelVersionsDocument,
    PublishedDocument,
    RemovedAliasDocument,
    ResolvedDocument,
    RightsDocument,
    SignedDocument,
    TrailDocument,
    UploadDocument,
    UploadsDocument,
)
from orchestrator.signatures.bundle import MEDIA_TYPE

BELOW = "/registry/v1"
_WANTED = "A version, a range as npm has it, an alias, a digest, or its first 40 digits; without it the newest release"
_MODEL = "/{namespace}/{name}"
_UPLOAD = _MODEL + "/uploads/{digest}"
_STREAMED = "; with `Accept: text/event-stream` as they come"
_ERROR: Json = {
    "type": "object",
    "required": ["error", "code", "details"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": ["string", "null"]},
        "details": {"type": "array", "items": {"type": "string"}},
    },
}
_REFUSALS = {
    400: "The request makes no sense",
    401: "A token is needed",
    403: "The token has not the right",
    404: "There is no such model, version or alias",
    409: "There is something else already (`details`): a version with another digest, or other bytes of a blob",
    412: "The alias stands for something else (`details`), or for nothing",
    415: "The content is of another type",
    422: "The version breaks the rules of the alias",
    428: "`If-Match` or `If-None-Match` is missing",
}


@dataclass(frozen=True, slots=True)
class RestRoute:
    """A call: its method, its path below BELOW, and what it takes and gives. `body` are the keys of the JSON object in
    a request; with `takes` it has content of one of these types instead, or beside. `refuses` are statuses beside 400
    to 404. Of calls that do `changes` a model has one at a time."""

    method: str
    path: str
    name: str
    summary: str
    gives: type
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    needs_condition: bool = False
    status: int = 200
    refuses: tuple[int, ...] = ()
    changes: bool = False


ROUTES = (
    RestRoute("GET", "/models", "models", "List the models that you may read", ModelsDocument),
    RestRoute(
        *("GET", "/events", "events", f"List changes of all models, the oldest first{_STREAMED}", TrailDocument),
        query={"after": "Only those behind the event of this number", "limit": "At most so many (1000)"},
    ),
    RestRoute(
        "GET", _MODEL + "/versions", "versions", "List versions, newest first, and aliases", ModelVersionsDocument
    ),
    RestRoute("GET", _MODEL + "/rights", "rights", "Tell what you may do with a model", RightsDocument),
    RestRoute(
        *("PUT", _MODEL + "/versions/{version}", "publish"),
        *("Publish what you uploaded as a version, which never changes after that", PublishedDocument),
        body={"digest": "The digest of the manifest in your repository for uploads"},
        takes=MANIFESTS,
        status=201,
        refuses=(409,),
        changes=True,
    ),
    RestRoute(
        *("POST", _MODEL + "/versions/{version}/signatures", "sign"),
        *("Attach a signature to a version: a sigstore bundle over the sha256 of its files", SignedDocument),
        takes=(MEDIA_TYPE,),
        status=201,
        changes=True,
    ),
    RestRoute(
        "GET", _MODEL + "/uploads", "uploads", "Tell where you upload versions before publishing", UploadsDocument
    ),
    RestRoute("GET", _UPLOAD, "upload", "Tell how much of a blob for a version is there", UploadDocument),
    RestRoute(
        *("PATCH", _UPLOAD, "send", "Send the next chunk of a blob, at most 8 MiB", UploadDocument),
        query={"from": "The number of bytes before it"},
        takes=("application/octet-stream",),
        refuses=(409,),
    ),
    RestRoute(
        *("PUT", _UPLOAD, "end_upload"),
        *("End the upload of a blob, which must be whole; or send it as a whole, at most 8 MiB", UploadDocument),
        takes=("application/octet-stream",),
        refuses=(409,),
    ),
    RestRoute("GET", _MODEL + "/resolve", "resolve", "Find a version", ResolvedDocument, query={"range": _WANTED}),
    RestRoute("GET", _MODEL + "/aliases/{alias}", "alias", "Tell what an alias stands for, also as ETag", AliasEntry),
    RestRoute(
        *("PUT", _MODEL + "/aliases/{alias}", "move"),
        *("Have an alias stand for a version, if it stands for what If-Match names now", ResolvedDocument),
        body={"version": _WANTED},
        needs_condition=True,
        refuses=(412, 422, 428),
        changes=True,
    ),
    RestRoute(
        *("DELETE", _MODEL + "/aliases/{alias}", "remove"),
        *("Remove an alias, if it stands for what If-Match names", RemovedAliasDocument),
        needs_condition=True,
        refuses=(412, 428),
        changes=True,
    ),
    RestRoute(
        *("GET", _MODEL + "/diff", "diff", "Compare two versions: files, bytes, keys of config.json", DiffDocument),
        query={"from": _WANTED, "to": _WANTED},
    ),
    RestRoute(
        *("GET", _MODEL + "/check", "check", "Judge a version by the rules for an alias", CheckDocument),
        query={"range": _WANTED, "alias": "The alias whose rules count, and what it stands for"},
    ),
    RestRoute(
        *("POST", _MODEL + "/check", "check_by", "Judge a version by rules of your own", CheckDocument),
        query={"range": _WANTED, "alias": "The alias whose rules count, and what it stands for"},
        body={"rules": "A file of rules, as text"},
    ),
    RestRoute(
        *("GET", _MODEL + "/events", "model_events"),
        *(f"List changes of a model, the oldest first{_STREAMED}", TrailDocument),
        query={"after": "Only those behind the event of this number", "limit": "At most so many (1000)"},
    ),
)


def match(method: str, parts: tuple[str, ...]) -> tuple[RestRoute, dict[str, str]] | frozenset[str]:
    """The route of a path below BELOW, with what stands for its names; else the methods that the path takes."""
    methods = set()
    for route in ROUTES:
        wanted = route.path.strip("/").split("/")
        if len(wanted) != len(parts):
            continue
        named = {one[1:-1]: part for one, part in zip(wanted, parts, strict=True) if one.startswith("{")}
        if all(one.startswith("{") or one == part for one, part in zip(wanted, parts, strict=True)):
            if route.method == ("GET" if method == "HEAD" else method):
                return route, named
            methods.add(route.method)
    return frozenset(methods)


def openapi(address: str) -> Json:
    """The OpenAPI document of the calls at this address."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "glm-aria registry", "version": __version__},
        "servers": [{"url": f"{address}{BELOW}"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _ERROR,
                **{kind.__name__: schema_of(kind) for kind in dict.fromkeys(route.gives for route in ROUTES)},
            },
        },
    }


def _operation(route: RestRoute) -> Json:
    is_typed = bool(route.takes) and not route.body
    beside = (*((404,) if "{" in route.path else ()), *((415,) if is_typed else ()))
    statuses = sorted({400, 401, 403, *beside, *route.refuses})
    parts = [one[1:-1] for one in route.path.split("/") if one.startswith("{")]
    said: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parts),
            *(
                {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
                for name, text in route.query.items()
            ),
            *(
                {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                for name, text in _CONDITIONS.items()
                if route.needs_condition
            ),
        ],
        "responses": {
            str(route.status): {
                "description": "Done",
                "content": _json(f"#/components/schemas/{route.gives.__name__}"),
            },
            **{
                str(status): {"description": _REFUSALS[status], "content": _json("#/components/schemas/Error")}
                for status in statuses
            },
        },
    }
    content: Json = {kind: {} for kind in route.takes}
    if route.body:
        properties = {name: {"type": "string", "description": text} for name, text in route.body.items()}
        schema = {"type": "object", "required": list(route.body), "properties": properties}
        content["application/json"] = {"schema": schema}
    if content:
        said["requestBody"] = {"required": True, "content": content}
    return said


_CONDITIONS = {
    "If-Match": 'The digest that the alias stands for, in quotes: `"sha256:…"`',
    "If-None-Match": "`*`: the alias stands for nothing yet",
}


def _json(reference: str) -> Json:
    return {"application/json": {"schema": {"$ref": reference}}}
