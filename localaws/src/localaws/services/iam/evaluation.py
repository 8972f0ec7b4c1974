"""Permission boundaries, topic policies, and the actions and resources that requests are authorised for.

Faithful to:
- A role's PermissionsBoundary in a template limits the role, and is changed and removed with the template.
- A topic that CloudFormation creates has the default policy of SNS with its condition. A role of the account
  may publish only if one of its own policies allows it.
- A request for several SSM parameters needs the permission on each of them, and one for those below a path
  that on the path.
- A request to describe repositories of ECR needs the permission on each that it names.
- The resource of a request to CloudWatch Logs is `log-group:NAME:log-stream:STREAM`, with an empty stream
  where the request names none: `NAME:*` matches it and `NAME` does not. Requests about tags are the
  exception.
- The resource of a request to a version or an alias of a function has the qualifier, also when the request
  passes it in `Qualifier`: `NAME:*` matches it and `NAME` does not.
- Every operation of Lambda needs the permission of its name; the emulator knows about half of them, and lets
  every caller update and delete event source mappings.
- `PublishBatch` is authorised as `sns:Publish`, and `SendMessageBatch`, `DeleteMessageBatch` and
  `ChangeMessageVisibilityBatch` of SQS as the call without Batch, as there are no permissions for batches.
Not to: everything else. `docs/embedded-aws.md` lists what IAM does not refuse here.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id
from ministack.services import iam, sns

from localaws.patching import Created, Handler, Properties, around, changes, resource
from localaws.services.iam.resources import Request, resource_of
from localaws.services.lambda_.references import FunctionReference


@resource("AWS::IAM::Role").create
def _create_role(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _limited(stock(logical_id, properties, stack), properties)


@resource("AWS::IAM::Role").update
def _update_role(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _limited(stock(physical_id, old, new, stack, logical_id), new)


def _limited(role: Created, properties: Properties) -> Created:
    """The role, with its permissions boundary set or removed."""
    boundary = properties.get("PermissionsBoundary")
    if boundary:
        iam._roles[role[0]]["PermissionsBoundary"] = boundary
    else:
        iam._roles[role[0]].pop("PermissionsBoundary", None)
    return role


@resource("AWS::SNS::Topic").create
def _create_topic(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    """Create the topic with the condition that SNS writes into its default policy."""
    arn, attributes = stock(logical_id, properties, stack)
    topic = sns._topics[arn]["attributes"]
    policy = json.loads(topic["Policy"])
    for statement in policy["Statement"]:
        if statement.get("Sid") == "__default_statement_ID":
            statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": get_account_id()}}
    topic["Policy"] = json.dumps(policy)
    return arn, attributes


# --- The action and the resource of a request


@resource_of("logs")
def _log_stream(request: Request) -> str | None:
    if request.operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        return None
    stream = request.member("logStreamName")
    return f"{request.found}:log-stream:{stream}" if ":log-group:" in request.found else None


@resource_of("ssm")
def _parameters(request: Request) -> str | None:
    if request.operation == "GetParametersByPath":
        return _parameter_arn(request.member("Path") or "/", request)
    if request.operation not in ("GetParameters", "DeleteParameters"):
        return None
    arns = [_parameter_arn(name, request) for name in request.member("Names") or []]
    return request.refused(arns) or (arns[0] if arns else None)


@resource_of("ecr")
def _repositories(request: Request) -> str | None:
    if request.found != "*":
        return None
    names = request.member("repositoryNames") or []
    arns = [f"arn:aws:ecr:{request.region}:{request.account}:repository/{name}" for name in names]
    return request.refused(arns) or (arns[0] if arns else request.member("resourceArn"))


@resource_of("lambda")
def _function(request: Request) -> str | None:
    if ":function:" not in request.found:
        return None
    found, qualifier = request.found, iam_actions._query_param(request.query_params, "Qualifier")
    named = FunctionReference.parse(found.partition(":function:")[2])
    if named and named.account:  # a partial ARN, which the emulator takes for a name
        found = named.arn(request.region, request.account)
    return f"{found}:{qualifier}" if qualifier and not found.endswith(f":{qualifier}") else found


# The operations of Lambda whose permission has another name.
_NAMED_OTHERWISE = {"Invoke": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"}


@changes(iam_actions, "_BOTOCORE_SERVICE_MAP")
def _services_with_routes(stock: dict[str, list[str]]) -> dict[str, list[str]]:
    return stock | {"lambda": ["lambda"], "xray": ["xray"]}


@around(iam_actions, "_lambda_action")
def _lambda_action(stock: Callable[[str, str], str | None], method: str, path: str) -> str | None:
    operation = iam_actions._match_rest_action("lambda", method, path)
    return _NAMED_OTHERWISE.get(operation, operation) if operation else stock(method, path)


def _parameter_arn(name: str, request: Request) -> str:
    place = f"arn:aws:ssm:{request.region}:{request.account}"
    return name if name.startswith("arn:") else f"{place}:parameter/{name.lstrip('/')}"


@around(iam_actions, "logs_service_context")
def _logs_service_context(
    stock: Callable[..., Any], action: str, body: bytes, resource_arn: str, region: str, account_id: str
) -> Any:
    """The condition keys of a request to CloudWatch Logs: the tags are those of the log group."""
    return stock(action, body, resource_arn.partition(":log-stream:")[0], region, account_id)


_SERVICES = ("sns:", "sqs:")


@around(iam_actions, "extract_iam_action")
def _extract_iam_action(stock: Callable[..., str | None], *args: Any, **named: Any) -> str | None:
    action = stock(*args, **named)
    if isinstance(action, str) and action.startswith(_SERVICES):
        return action.removesuffix("Batch")
    return action
