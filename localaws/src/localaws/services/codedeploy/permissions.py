"""Who may call CodeDeploy, and whom CodeDeploy may be.

Faithful to: each action is authorised on the application, deployment group or deployment configuration that
it is about; a call about a deployment on its deployment group. Who creates or changes a group must be
allowed to pass its service role. The managed policies for the service role.
Not to: condition keys.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodedeploy.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambda.html
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambdaLimited.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions
from ministack.services import iam

from localaws.services.codedeploy.deployments import deployments
from localaws.services.iam.functions import json_member, passing_role

_LIMITED = ("cloudwatch:DescribeAlarms", "lambda:UpdateAlias", "lambda:GetAlias")
_CONCURRENCY = "lambda:GetProvisionedConcurrencyConfig"
_MANAGED_POLICIES = {
    "AWSCodeDeployRoleForLambda": [*_LIMITED, _CONCURRENCY, "sns:Publish"],
    "AWSCodeDeployRoleForLambdaLimited": [*_LIMITED, _CONCURRENCY],
}


def install() -> None:
    """Have the gateway ask for CodeDeploy's actions, and know its managed policies."""
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codedeploy"] = "codedeploy"
    iam_actions.extract_resource_arn = _naming_resources(iam_actions.extract_resource_arn)
    stock_seed = iam._seed_aws_managed_policies

    def seed() -> None:
        stock_seed()
        _add_managed_policies()

    iam._seed_aws_managed_policies = seed  # called at each reset
    _add_managed_policies()


def passing_the_service_role(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Let a request through only if its caller may pass the service role in it."""
    return passing_role(
        handle, "codedeploy", lambda _method, _path, body, _query: json_member(body, "serviceRoleArn")
    )


def _naming_resources(extract: Callable[..., str]) -> Callable[..., str]:
    def extract_resource(service: str, *request: Any) -> str:
        if service != "codedeploy":
            return extract(service, *request)
        _method, _path, _headers, body, _query, region, account = request
        named = _resource(body)
        tagged = json_member(body, "ResourceArn")
        return tagged or (f"arn:aws:codedeploy:{region}:{account}:{named}" if named else "*")

    return extract_resource


def _resource(body: bytes) -> str:
    """What a request is about, as the end of an ARN; nothing for what knows no resource."""
    deployment = deployments.get(json_member(body, "deploymentId") or "")
    if deployment is not None:
        names = deployment.group["applicationName"], deployment.group["deploymentGroupName"]
        return f"deploymentgroup:{names[0]}/{names[1]}"
    application = json_member(body, "applicationName")
    group = json_member(body, "deploymentGroupName") or json_member(body, "currentDeploymentGroupName")
    if application:
        return f"deploymentgroup:{application}/{group}" if group else f"application:{application}"
    config = json_member(body, "deploymentConfigName")
    return f"deploymentconfig:{config}" if config else ""


def _add_managed_policies() -> None:
    for name, actions in _MANAGED_POLICIES.items():
        on_any = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"]}
        tagged = {"StringEquals": {"s3:ExistingObjectTag/UseWithCodeDeploy": "true"}}
        hooks = "arn:aws:lambda:*:*:function:CodeDeployHook_*"
        document = {
            "Version": "2012-10-17",
            "Statement": [
                on_any,
                reads | {"Resource": "arn:aws:s3:::*/CodeDeploy/*"},
                reads | {"Resource": "*", "Condition": tagged},
                {"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": hooks},
            ],
        }
        path = f"service-role/{name}"
        iam._aws_managed_policies[f"{iam._AWS_MANAGED_POLICY_PREFIX}{path}"] = iam._make_aws_managed_record(
            path, json.dumps(document), "Permissions of CodeDeploy to deploy Lambda functions."
        )
