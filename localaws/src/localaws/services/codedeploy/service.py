"""The API of CodeDeploy for Lambda, which the emulator lacks.

Faithful to: applications, deployment configurations, deployment groups and deployments of functions, with
their error codes. What a deployment does is in `codedeploy.deployments`, its CloudFormation types in
`codedeploy.resources`, the update policy of aliases in `codedeploy.aliases`, and permissions in
`codedeploy.permissions`.
Not to: other compute platforms, revisions that are registered with an application, changing tags, paging:
lists are complete.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response

from localaws.patching import new_service
from localaws.services.codedeploy import calls, configs, groups, records
from localaws.services.codedeploy.records import CodeDeployError, Record
from localaws.services.iam.functions import json_member, pass_role_refused

_JSON = "application/x-amz-json-1.1"
_TARGET = "CodeDeploy_20141006"


@new_service("codedeploy", target_prefix=_TARGET)
async def handle_request(_method: str, _path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
    """Respond to a request."""
    refused = pass_role_refused("codedeploy", json_member(body, "serviceRoleArn"), headers, query)
    if refused:
        return refused
    name = headers.get("x-amz-target", "").rpartition(".")[2]
    action = _ACTIONS.get(name)
    try:
        if action is None:
            raise CodeDeployError("InvalidOperationException", f"{name} is not emulated")
        answer = action(json.loads(body or b"{}"))
    except CodeDeployError as refusal:
        return error_response_json(refusal.code, str(refusal), 400, content_type=_JSON)
    return json_response(answer, content_type=_JSON)


_ACTIONS: dict[str, Callable[[Record], Record]] = {
    "BatchGetDeployments": calls.batch_get_deployments,
    "CreateApplication": records.create_application,
    "CreateDeployment": calls.create_deployment,
    "CreateDeploymentConfig": configs.create_config,
    "CreateDeploymentGroup": groups.create_group,
    "DeleteApplication": records.delete_application,
    "DeleteDeploymentConfig": configs.delete_config,
    "DeleteDeploymentGroup": groups.delete_group,
    "GetApplication": lambda request: {"application": records.application(request)},
    "GetDeployment": calls.get_deployment,
    "GetDeploymentConfig": lambda request: {"deploymentConfigInfo": configs.config(request)},
    "GetDeploymentGroup": calls.get_group,
    "GetDeploymentTarget": calls.get_target,
    "ListApplications": lambda _request: {"applications": list(records.applications)},
    "ListDeploymentConfigs": lambda _request: {"deploymentConfigsList": configs.config_names()},
    "ListDeploymentGroups": calls.list_groups,
    "ListDeployments": calls.list_deployments,
    "ListDeploymentTargets": calls.list_targets,
    "ListTagsForResource": records.list_tags,
    "PutLifecycleEventHookExecutionStatus": calls.put_hook_status,
    "StopDeployment": calls.stop_deployment,
    "UpdateDeploymentGroup": groups.update_group,
}
