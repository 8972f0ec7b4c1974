"""A client of the API, generated from the OpenAPI document that API Gateway exports."""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from scenarios.framework import DeployedStack, require

OPERATIONS = ("list_products", "list_orders", "get_order", "put_order")


class GeneratedClient:
    """The modules that openapi-python-client has generated.

    Args:
        package: The name of the package, which can be imported now and perhaps not later.
    """

    def __init__(self, package: str) -> None:
        self.authenticated: Any = import_module(package).AuthenticatedClient
        self.models: Any = import_module(f"{package}.models")
        self.operations: dict[str, Any] = {
            name: import_module(f"{package}.api.default.{name}").sync_detailed for name in OPERATIONS
        }


def generated_client(stack: DeployedStack) -> GeneratedClient:
    """Export the document of the stack's API, and generate a client from it, once a process.

    Raises:
        ScenarioFailed: The document is not one from which a client can be generated.
    """
    exported = stack.client("apigateway").get_export(
        restApiId=stack.output("ApiId"),
        stageName=stack.output("StageName"),
        exportType="oas30",
        accepts="application/json",
    )
    return _generate(stack.output("ApiId"), exported["body"].read().decode())


@functools.cache
def _generate(api_id: str, document: str) -> GeneratedClient:
    # Only here: importing it takes a second.
    from openapi_python_client import generate
    from openapi_python_client.config import Config, ConfigFile, MetaType

    require(json.loads(document)["openapi"].startswith("3.0"), "it is no document of OpenAPI 3.0")
    package = f"shop_client_{api_id}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "openapi.json")
        source.write_text(document, "utf-8")
        settings = ConfigFile(package_name_override=package, post_hooks=[])
        target = Path(folder, package)
        config = Config.from_sources(settings, MetaType.NONE, source, "utf-8", True, target)
        with redirect_stdout(StringIO()):
            problems = generate(config=config)
        require(not problems, f"the client was not generated: {problems}")
        sys.path.insert(0, folder)
        try:
            return GeneratedClient(package)
        finally:
            sys.path.remove(folder)
