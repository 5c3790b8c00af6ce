"""A tracking server of MLflow as a catalog: what it says when it is asked for what it has not, or is none."""

from __future__ import annotations

import json

import pytest

from orchestrator.catalogs.mlflow import MlflowCatalog
from orchestrator.core.dialects import MLFLOW
from orchestrator.core.refs import parse_ref
from orchestrator.core.sources import Source
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries
from tests.servers.registry import Answered, SmallServer

ABSENT = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered model alias champion not found."}


@pytest.mark.parametrize(
    ("status", "answer", "error", "hint"),
    [
        (404, ABSENT, NotFoundError, "127.0.0.1"),
        (400, {"error_code": "INVALID_PARAMETER_VALUE"}, NotFoundError, "127.0.0.1"),
        (404, {"detail": "Not Found"}, ProtocolError, "MLFLOW_TRACKING_URI"),
        (200, {"model_version": {}}, ProtocolError, "MLFLOW_TRACKING_URI"),
        (200, {"model_version": {"version": "1" * 5000}}, ProtocolError, "MLFLOW_TRACKING_URI"),
        (200, {"artifact_uri": "mlflow://other@champion"}, ProtocolError, "oci://HOST/NAME"),
        (200, {"artifact_uri": "s3://bucket/model"}, NotFoundError, "oci://"),
    ],
)
def test_what_went_wrong_is_said_with_what_to_look_at(
    status: int, answer: dict[str, object], error: type[GlmAriaError], hint: str
) -> None:
    version = "3" if "artifact_uri" in answer else "champion"
    with SmallServer(lambda _: Answered(status, json.dumps(answer).encode())) as server, Net() as net:
        source = Source("mlflow", server.url, MLFLOW)
        catalog = MlflowCatalog(source, net, Registries(net), lambda _: pytest.fail("nothing is to be followed"))
        with pytest.raises(error) as caught:
            catalog.revision(parse_ref(f"mlflow://fraud@{version}"))
    assert hint in str(caught.value.hint)
