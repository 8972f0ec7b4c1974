"""Functions that CodeDeploy deploys."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from helpers.lambda_functions import Functions, eventually, zipped
from localaws import LocalAws

#: What a deployment does with the permissions of its group's service role.
ROLE_ALLOWS = (
    ("lambda:GetAlias", "*"),
    ("lambda:UpdateAlias", "*"),
    ("lambda:InvokeFunction", "*"),
    ("cloudwatch:DescribeAlarms", "*"),
)
ALL_AT_ONCE = "CodeDeployDefault.LambdaAllAtOnce"
ALL_EVENTS = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]
LAMBDA_STYLE = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
#: Minutes of a shift that no test waits for: 200 seconds on the quick one.
LONG = 2000
SOURCE = "def handler(event, context): return {version}"

#: A hook: writes what it was asked to a queue, then answers.
HOOK = """
import json, boto3
def handler(event, context):
    codedeploy = boto3.client("codedeploy")
    info = codedeploy.get_deployment(deploymentId=event["DeploymentId"])["deploymentInfo"]
    spec = json.loads((info["revision"].get("string") or info["revision"]["appSpecContent"])["content"])
    {before}
    codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="{status}",
    )
"""


def hook_source(status: str = "Succeeded", before: str = "pass") -> str:
    """The source of a hook that does something and then responds."""
    return HOOK.format(status=status, before=before)


@dataclass(frozen=True)
class Release:
    """A function with versions 1, 2 and 3, an alias of version 1, and a deployment group.

    Args:
        aws: A running embedded AWS.
        function: The function's name.
        application: The application's name.
        group: The name of the group; by default that of the application.
    """

    aws: LocalAws
    function: str
    application: str
    group: str = ""

    @property
    def codedeploy(self) -> Any:
        """A client."""
        return self.aws.client("codedeploy")

    def app_spec(self, target: str = "2", current: str = "1", **hooks: str) -> dict[str, Any]:
        """The AppSpec of a deployment."""
        properties = {
            "Name": self.function,
            "Alias": "live",
            "CurrentVersion": current,
            "TargetVersion": target,
        }
        described = {"Type": "AWS::Lambda::Function", "Properties": properties}
        listed = [{event: function} for event, function in hooks.items()]
        return {"version": 0.0, "Resources": [{"Function": described}], "Hooks": listed}

    def deploy(
        self,
        target: str = "2",
        *,
        current: str = "1",
        minutes: int = 0,
        hooks: dict[str, str] | None = None,
        **settings: Any,
    ) -> str:
        """Start a deployment, and return its id.

        Args:
            target: The new version.
            current: The old version.
            minutes: How long a tenth of the traffic goes to the new version; 0 shifts all at once.
            hooks: The function for each event that has a hook.
            settings: Parameters of CreateDeployment.
        """
        spec = json.dumps(self.app_spec(target, current, **(hooks or {})))
        revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": spec}}
        named = {"deploymentConfigName": canary(self.aws, minutes) if minutes else ALL_AT_ONCE}
        answer = self.codedeploy.create_deployment(
            applicationName=self.application,
            deploymentGroupName=self.group or self.application,
            **(named | {"revision": revision} | settings),
        )
        id_: str = answer["deploymentId"]
        return id_

    def describe(self, id_: str) -> dict[str, Any]:
        """The description of the deployment."""
        info: dict[str, Any] = self.codedeploy.get_deployment(deploymentId=id_)["deploymentInfo"]
        return info

    def wait(self, id_: str) -> dict[str, Any]:
        """Wait until the deployment and its rollback have ended."""

        def ended() -> dict[str, Any]:
            info = self.describe(id_)
            return info if info["status"] in ("Succeeded", "Failed", "Stopped") else {}

        info = eventually(ended)
        back = info.get("rollbackInfo", {}).get("rollbackDeploymentId")
        if back:
            self.wait(back)
        return info

    def run(self, **settings: Any) -> dict[str, Any]:
        """Deploy and wait."""
        return self.wait(self.deploy(**settings))

    def alias(self) -> tuple[str, dict[str, float]]:
        """The version and weights of the alias."""
        found = self.aws.client("lambda").get_alias(FunctionName=self.function, Name="live")
        return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    def wait_for_canary(self) -> None:
        """Wait until a share of the traffic goes to another version."""
        assert eventually(lambda: self.alias()[1])

    def events(self, id_: str) -> dict[str, str]:
        """The status of each lifecycle event, in order."""
        (target,) = self.codedeploy.list_deployment_targets(deploymentId=id_)["targetIds"]
        answer = self.codedeploy.get_deployment_target(deploymentId=id_, targetId=target)
        events = answer["deploymentTarget"]["lambdaTarget"]["lifecycleEvents"]
        return {event["lifecycleEventName"]: event["status"] for event in events}

    def hook(self, source: str) -> str:
        """A function with the permissions of a hook."""
        functions = Functions(self.aws)
        return functions.make(source, role=functions.role(("codedeploy:*", "*"), ("lambda:*", "*")))


def make_release(
    aws: LocalAws,
    allowed: tuple[tuple[str, str], ...] = ROLE_ALLOWS,
    events: list[str] | None = None,
    alarms: tuple[str, ...] = (),
    **settings: Any,
) -> Release:
    """Create a function with its versions, alias and deployment group.

    Args:
        aws: A running embedded AWS.
        allowed: The actions of the service role.
        events: The events after which a deployment is rolled back; by default none.
        alarms: The alarms of the group.
        settings: Settings of the group.
    """
    functions, name = Functions(aws), f"function-{uuid.uuid4().hex[:8]}"
    make_versions(aws, name)
    application = f"app-{uuid.uuid4().hex[:8]}"
    codedeploy = aws.client("codedeploy")
    codedeploy.create_application(applicationName=application, computePlatform="Lambda")
    codedeploy.create_deployment_group(
        applicationName=application,
        deploymentGroupName=application,
        serviceRoleArn=functions.role(*allowed, service="codedeploy.amazonaws.com"),
        deploymentStyle=LAMBDA_STYLE,
        autoRollbackConfiguration={"enabled": bool(events), "events": events or []},
        alarmConfiguration={"enabled": bool(alarms), "alarms": [{"name": alarm} for alarm in alarms]},
        **settings,
    )
    return Release(aws, name, application)


def make_versions(aws: LocalAws, name: str) -> None:
    """Create a function with versions 1 to 3, which return their number, and an alias of version 1."""
    client = aws.client("lambda")
    for version in (1, 2, 3):
        code = zipped({"index.py": SOURCE.format(version=version)})
        if version == 1:
            client.create_function(
                FunctionName=name,
                Role=Functions(aws).role(),
                Code={"ZipFile": code},
                Runtime="python3.13",
                Handler="index.handler",
            )
        else:
            client.update_function_code(FunctionName=name, ZipFile=code)
        client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")


def canary(aws: LocalAws, minutes: int) -> str:
    """The name of a deployment configuration that first shifts a tenth of the traffic."""
    if minutes in (5, 10, 15, 30):
        return f"CodeDeployDefault.LambdaCanary10Percent{minutes}Minutes"
    name, codedeploy = f"Canary{minutes}", aws.client("codedeploy")
    shift = {"canaryPercentage": 10, "canaryInterval": minutes}
    with contextlib.suppress(codedeploy.exceptions.DeploymentConfigAlreadyExistsException):
        codedeploy.create_deployment_config(
            deploymentConfigName=name,
            computePlatform="Lambda",
            trafficRoutingConfig={"type": "TimeBasedCanary", "timeBasedCanary": shift},
        )
    return name


def make_alarm(aws: LocalAws) -> str:
    """An alarm that changes only by set_alarm_state; returns its name."""
    name = f"alarm-{uuid.uuid4().hex[:8]}"
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Test",
        MetricName="Test",
        Statistic="Sum",
        Period=86400,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    return name


def ring(aws: LocalAws, alarm: str, state: str = "ALARM") -> None:
    """Set the state of an alarm."""
    aws.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="test")
