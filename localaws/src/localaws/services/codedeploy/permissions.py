"""Permissions for CodeDeploy's actions, and the managed policies of its service role.

Faithful to: each action is authorised on its application, deployment group or deployment configuration, and
an action about a deployment on the deployment group. Creating a group, or changing its service role, needs
`iam:PassRole` on the role. The managed policies for the service role.
Not to: condition keys.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodedeploy.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambda.html
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCodeDeployRoleForLambdaLimited.html
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ministack.services import iam

from localaws.patching import around, on_start
from localaws.services.codedeploy.deployments import deployments
from localaws.services.iam.functions import json_member
from localaws.services.iam.resources import Request, resource_of

_LIMITED = ("cloudwatch:DescribeAlarms", "lambda:UpdateAlias", "lambda:GetAlias")
_CONCURRENCY = "lambda:GetProvisionedConcurrencyConfig"
_MANAGED_POLICIES = {
    "AWSCodeDeployRoleForLambda": [*_LIMITED, _CONCURRENCY, "sns:Publish"],
    "AWSCodeDeployRoleForLambdaLimited": [*_LIMITED, _CONCURRENCY],
}


@around(iam, "_seed_aws_managed_policies")  # called at each reset
def _seed_managed_policies(stock: Callable[[], None]) -> None:
    stock()
    _add_managed_policies()


@resource_of("codedeploy")
def _arn(request: Request) -> str:
    named, tagged = _resource(request.body), json_member(request.body, "ResourceArn")
    return tagged or (f"arn:aws:codedeploy:{request.region}:{request.account}:{named}" if named else "*")


def _resource(body: bytes) -> str:
    """The last part of the ARN of a request's resource; empty for actions without one."""
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


@on_start
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
