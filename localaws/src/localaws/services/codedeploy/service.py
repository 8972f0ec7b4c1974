"""CodeDeploy for Lambda: its API, which the emulator does not have.

Faithful to: applications, deployment configurations, deployment groups and deployments of functions, with
their error codes. What a deployment does is in `codedeploy_deployments`, what CloudFormation makes of it in
`codedeploy_resources` and `codedeploy_aliases`, and who may call it in `codedeploy_iam`.
Not to: other compute platforms, revisions kept in an application, changing tags, paging: lists are whole.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from ministack.core import router
from ministack.core.responses import error_response_json, json_response

from localaws import services as bridges
from localaws.services.codedeploy import aliases as codedeploy_aliases
from localaws.services.codedeploy import calls as codedeploy_calls
from localaws.services.codedeploy import configs as codedeploy_configs
from localaws.services.codedeploy import deployments as codedeploy_deployments
from localaws.services.codedeploy import groups as codedeploy_groups
from localaws.services.codedeploy import permissions as codedeploy_iam
from localaws.services.codedeploy import records as codedeploy_records
from localaws.services.codedeploy import resources as codedeploy_resources
from localaws.services.codedeploy.records import CodeDeployError, Record

_JSON = "application/x-amz-json-1.1"
_TARGET = "CodeDeploy_20141006"


def install() -> None:
    """Serve CodeDeploy beside the emulator's services."""
    router.SERVICE_PATTERNS["codedeploy"] = {
        "target_prefixes": [_TARGET],
        "host_patterns": [r"codedeploy\."],
        "credential_scope": "codedeploy",
    }
    # Imported late: this module reads its settings while it is imported.
    app: Any = importlib.import_module("ministack.app")
    app.SERVICE_HANDLERS["codedeploy"] = codedeploy_iam.passing_the_service_role(handle_request)
    codedeploy_iam.install()
    codedeploy_resources.install()
    codedeploy_aliases.install()
    bridges.reset_hooks += [codedeploy_deployments.clear, codedeploy_records.clear]


async def handle_request(_method: str, _path: str, headers: dict[str, str], body: bytes, _query: Any) -> Any:
    """Answer a request."""
    name = headers.get("x-amz-target", "").rpartition(".")[2]
    action = _ACTIONS.get(name)
    try:
        if action is None:
            raise CodeDeployError("InvalidOperationException", f"{name}: not in the embedded AWS")
        answer = action(json.loads(body or b"{}"))
    except CodeDeployError as refusal:
        return error_response_json(refusal.code, str(refusal), 400, content_type=_JSON)
    return json_response(answer, content_type=_JSON)


_ACTIONS: dict[str, Callable[[Record], Record]] = {
    "BatchGetDeployments": codedeploy_calls.batch_get_deployments,
    "CreateApplication": codedeploy_records.create_application,
    "CreateDeployment": codedeploy_calls.create_deployment,
    "CreateDeploymentConfig": codedeploy_configs.create_config,
    "CreateDeploymentGroup": codedeploy_groups.create_group,
    "DeleteApplication": codedeploy_records.delete_application,
    "DeleteDeploymentConfig": codedeploy_configs.delete_config,
    "DeleteDeploymentGroup": codedeploy_groups.delete_group,
    "GetApplication": lambda request: {"application": codedeploy_records.application(request)},
    "GetDeployment": codedeploy_calls.get_deployment,
    "GetDeploymentConfig": lambda request: {"deploymentConfigInfo": codedeploy_configs.config(request)},
    "GetDeploymentGroup": codedeploy_calls.get_group,
    "GetDeploymentTarget": codedeploy_calls.get_target,
    "ListApplications": lambda _request: {"applications": list(codedeploy_records.applications)},
    "ListDeploymentConfigs": lambda _request: {"deploymentConfigsList": codedeploy_configs.config_names()},
    "ListDeploymentGroups": codedeploy_calls.list_groups,
    "ListDeployments": codedeploy_calls.list_deployments,
    "ListDeploymentTargets": codedeploy_calls.list_targets,
    "ListTagsForResource": codedeploy_records.list_tags,
    "PutLifecycleEventHookExecutionStatus": codedeploy_calls.put_hook_status,
    "StopDeployment": codedeploy_calls.stop_deployment,
    "UpdateDeploymentGroup": codedeploy_groups.update_group,
}
