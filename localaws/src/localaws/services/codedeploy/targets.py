"""Calls of a deployment to other services, with the permissions of the group's service role.

Used by `codedeploy.deployments`. The actions that each step needs, on the function, the hook and each alarm,
and the errors of a revision that does not match its function. Revisions are not read from S3, and nothing is
published to SNS. An alarm that does not exist is never active.

https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_ErrorInformation.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch, lambda_svc

from localaws.services.codedeploy.records import Record
from localaws.services.codedeploy.revisions import AppSpec
from localaws.services.iam.roles import role_allows

_MISCONFIGURED = (
    "The deployment failed because the AppSpec file that specifies the AWS Lambda deployment configuration "
    "is missing or has an invalid configuration."
)


class DeploymentEnded(Exception):
    """A deployment ends without success.

    Args:
        status: Its final status: `Failed` or `Stopped`.
        code: CodeDeploy's code for the reason.
        message: The reason.
        event: The rollback event, if it is one.
    """

    def __init__(self, status: str, code: str, message: str, event: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.event = status, code, event


@dataclass(frozen=True)
class ServiceRole:
    """The service role of a deployment group.

    Args:
        arn: The role's ARN.
    """

    arn: str

    def permit(self, action: str, resource: str, service: str = "AWSLambda") -> None:
        """Require that the role allows the action.

        Raises:
            DeploymentEnded: It does not.
        """
        if role_allows(self.arn, action, resource):
            return
        raise DeploymentEnded(
            "Failed",
            "IAM_ROLE_PERMISSIONS",
            f"The IAM role {self.arn} does not give you permission to perform operations in the following "
            f"AWS service: {service}. Contact your AWS administrator if you need help. If you are an AWS "
            "administrator, you can grant permissions to your users or groups by creating IAM policies. "
            f"({action} on {resource})",
            "DEPLOYMENT_FAILURE",
        )

    def active_alarms(self, alarms: Record) -> list[str]:
        """The names of the alarms in state ALARM.

        Args:
            alarms: An alarm configuration.
        """
        found = []
        for name in [alarm["name"] for alarm in alarms["alarms"]] if alarms["enabled"] else []:
            arn = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"
            try:
                self.permit("cloudwatch:DescribeAlarms", arn, "AmazonCloudWatch")
            except DeploymentEnded:
                if alarms["ignorePollAlarmFailure"]:
                    continue
                raise
            alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name) or {}
            if alarm.get("StateValue") == "ALARM":
                found.append(name)
        return found


@dataclass(frozen=True)
class Target:
    """The alias that a deployment changes.

    Args:
        spec: The change of the alias.
        role: The role whose permissions are used.
    """

    spec: AppSpec
    role: ServiceRole

    def find(self) -> tuple[Record, Record]:
        """The emulator's records of the function and of the alias.

        Raises:
            DeploymentEnded: One of them does not exist.
        """
        record, _config, name = lambda_svc._get_func_record_for_ref(self.spec.function)
        if record is None:
            raise _misfit(f"{self.spec.function} does not exist.", "INVALID_LAMBDA_FUNCTION")
        function: Record = lambda_svc._functions.get(name)
        if self.spec.alias not in function["aliases"]:
            raise _misfit(f"{self.spec.function}:{self.spec.alias} does not exist.")
        return function, function["aliases"][self.spec.alias]

    def check(self, *, any_version: bool) -> None:
        """Check that the deployment is possible, before there is anything to roll back.

        Args:
            any_version: Whether the alias may point to another version than the current one.

        Raises:
            DeploymentEnded: It is not.
        """
        function, alias = self.find()
        arn = function["config"]["FunctionArn"]
        self.role.permit("lambda:GetAlias", arn)
        for version in (self.spec.current_version, self.spec.target_version):
            if version not in function["versions"] or version == "$LATEST":
                raise _misfit(f"Version {version} does not exist.")
        if not any_version and alias["FunctionVersion"] != self.spec.current_version:
            raise _misfit(
                "The Lambda function alias version does not match the current version in AppSpec file."
            )
        if self.spec.alias in function.get("provisioned_concurrency", {}):
            self.role.permit("lambda:GetProvisionedConcurrencyConfig", f"{arn}:{self.spec.alias}")

    def shift(self, percentage: int) -> None:
        """Shift a percentage of the traffic to the target version; with 100, the alias points to it."""
        function, alias = self.find()
        self.role.permit("lambda:UpdateAlias", function["config"]["FunctionArn"])
        weights = {self.spec.target_version: percentage / 100} if percentage < 100 else {}
        change: dict[str, Any] = {
            "FunctionVersion": self.spec.current_version if weights else self.spec.target_version,
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        }
        lambda_svc._update_alias(function["config"]["FunctionName"], alias["Name"], change)


def _misfit(message: str, code: str = "INVALID_LAMBDA_CONFIGURATION") -> DeploymentEnded:
    return DeploymentEnded("Failed", code, f"{_MISCONFIGURED} {message}")
