"""The endpoint rules of services whose clients would send requests to a host that no system resolves.

With an endpoint of its own, botocore sends S3 Control to `123456789012.127.0.0.1`, which no system
resolves, and no setting prevents it: that is a rule of the service, and no host prefix. A client that
loads the rules from here sends these requests to the endpoint itself, which finds the account in the
request.

A function posts to the connections of a WebSocket API at the URL that its event names,
`https://API.execute-api.…/STAGE`. These rules send that to the server, with the API in the path.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_CreateJob.html
https://docs.aws.amazon.com/amazonCloudFront/latest/DeveloperGuide/kvs-with-functions-associate.html
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import botocore.loaders

#: The services, by the names of botocore.
SERVICES = ("cloudfront-keyvaluestore", "s3control")
_CONNECTIONS = "apigatewaymanagementapi"
_RULES = "endpoint-rule-set-1"
_ACCOUNT_AND_HOST = re.compile(r"://\{(?:AccountId|parsedArn#accountId)\}\.\{url#authority\}")


class Loader(botocore.loaders.Loader):
    """Loads botocore's models, and these rules without the account."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """Return a model, without the account in the rules of these services."""
        model = super().load_service_model(service_name, type_name, api_version)
        if service_name in SERVICES and type_name == _RULES:
            return json.loads(_ACCOUNT_AND_HOST.sub("://{url#authority}", json.dumps(model)))
        return model


def data_path(folder: Path, endpoint_url: str, inherited: str | None = None) -> str:
    """Write the rules to a folder, and return an `AWS_DATA_PATH` with it, for other programs.

    Args:
        folder: The folder.
        endpoint_url: The server's address.
        inherited: The `AWS_DATA_PATH` that the program would have.
    """
    loader = Loader()
    for service in (*SERVICES, _CONNECTIONS):
        version = loader.determine_latest_version(service, _RULES)
        rules = loader.load_service_model(service, _RULES)
        if service == _CONNECTIONS:
            rules = {**rules, "rules": [_to_api(endpoint_url), *rules["rules"]]}
        file = folder / service / version / f"{_RULES}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rules))
    return os.pathsep.join([str(folder), *([inherited] if inherited else [])])


def _to_api(endpoint_url: str) -> dict[str, Any]:
    """The rule for an endpoint with a name: it begins with the id of an API, ten characters."""
    endpoint, url = {"ref": "Endpoint"}, {"ref": "url"}
    authority, is_ip = ({"fn": "getAttr", "argv": [url, name]} for name in ("authority", "isIp"))
    conditions = [
        {"fn": "isSet", "argv": [endpoint]},
        {"fn": "parseURL", "argv": [endpoint], "assign": "url"},
        {"fn": "booleanEquals", "argv": [is_ip, False]},
        {"fn": "substring", "argv": [authority, 0, 10, False], "assign": "api"},
    ]
    target = {"url": f"{endpoint_url}/_aws/execute-api/{{api}}{{url#path}}", "properties": {}, "headers": {}}
    return {"conditions": conditions, "endpoint": target, "type": "endpoint"}
