"""Releases to the deployed alias: by CloudFormation as `cdk deploy` does it, or by CodeDeploy directly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from scenarios.delivery.canary_alias.callers import Callers, Shares
from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, require
from scenarios.support.stack_updates import StackUpdates, UpdateRolledBack


class Releases:
    """Releases to one deployed stack.

    Args:
        stack: The stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._codedeploy = stack.client("codedeploy")
        self._group = {
            "applicationName": stack.output("ApplicationName"),
            "deploymentGroupName": stack.output("DeploymentGroupName"),
        }
        self._updates = StackUpdates(stack)
        self.callers = Callers(stack, stack.output("AliasArn"))

    def start(self, behaviour: str) -> None:
        """Start to deploy a release with this behaviour, as `cdk deploy` would."""
        template = self._updates.template()
        [function_id] = [
            logical_id
            for logical_id, resource in template["Resources"].items()
            if resource["Type"] == "AWS::Lambda::Function"
            and "BEHAVIOUR" in resource["Properties"].get("Environment", {}).get("Variables", {})
        ]
        variables = template["Resources"][function_id]["Properties"]["Environment"]["Variables"]
        variables |= {"RELEASE": uuid4().hex, "BEHAVIOUR": behaviour}
        self._updates.publish_version(template, function_id, variables["RELEASE"])
        self._updates.start(template)

    def finish(self) -> None:
        """Wait until the release is complete.

        Raises:
            UpdateRolledBack: It was rolled back.
        """
        self._updates.finish()

    def must_roll_back(self) -> None:
        """Wait until the release is rolled back.

        Raises:
            ScenarioFailed: It succeeded, or the rollback failed.
        """
        try:
            self.finish()
        except UpdateRolledBack as update:
            require(str(update).startswith("UPDATE_ROLLBACK_COMPLETE"), f"the rollback failed: {update}")
        else:
            raise ScenarioFailed("a release that should have been rolled back succeeded")

    def wait_for_canary(self) -> Shares:
        """Wait until the alias sends calls to two versions and both have got some."""

        def check() -> Shares:
            shares = self.callers.shares()
            called = {call.version for call in self.callers.calls}
            if len(shares) == 1 or called != set(shares):
                raise NotYet(f"the alias points at {sorted(shares)}, calls reached {sorted(called)}")
            return shares

        return self._stack.wait_until(check, "a first share of the calls for the new version")

    def deployments(self) -> Iterator[dict[str, Any]]:
        """The deployments that released something and rolled nothing back, the latest one first."""
        for deployment_id in self._codedeploy.list_deployments(**self._group)["deployments"]:
            info = self._codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
            if info.get("creator") != "codeDeployRollback":
                yield info

    def call_until_the_alarm_rings(self) -> None:
        """Call the alias until an alarm of its deployment group is in ALARM."""
        group = self._codedeploy.get_deployment_group(**self._group)["deploymentGroupInfo"]
        names = [alarm["name"] for alarm in group["alarmConfiguration"]["alarms"]]
        cloudwatch = self._stack.client("cloudwatch")

        def check() -> None:
            for _ in range(20):  # within one period of the alarm
                self.callers.call()
            found = cloudwatch.describe_alarms(AlarmNames=names, StateValue="ALARM")
            if not found["MetricAlarms"]:
                raise NotYet(f"none of {names} is in ALARM")

        self._stack.wait_until(check, "an alarm in ALARM")

    def stop(self) -> None:
        """Stop the running deployment and roll it back."""
        deployment_id = next(self.deployments())["deploymentId"]
        self._codedeploy.stop_deployment(deploymentId=deployment_id, autoRollbackEnabled=True)

    def cancel(self) -> None:
        """Cancel the update of the stack."""
        self._stack.client("cloudformation").cancel_update_stack(StackName=self._stack.name)

    def failed_case(self, since: float) -> dict[str, Any]:
        """Wait for the log entry in which the hook before traffic names the case that failed.

        Args:
            since: When the release began, in seconds since 1970.
        """
        function = self._stack.output("PreTrafficFunctionName")
        configuration = self._stack.client("lambda").get_function_configuration(FunctionName=function)
        group = configuration["LoggingConfig"]["LogGroup"]
        logs = self._stack.client("logs").get_paginator("filter_log_events")

        def check() -> dict[str, Any]:
            for page in logs.paginate(logGroupName=group, startTime=int(since * 1000)):
                for event in page["events"]:
                    if '"case"' in event["message"]:
                        entry: dict[str, Any] = json.loads(event["message"])
                        return entry
            raise NotYet("no such entry")

        return self._stack.wait_until(check, "the hook's log entry that names the case")

    def versions(self) -> set[str]:
        """Return the published versions of the function."""
        pages = self._stack.client("lambda").get_paginator("list_versions_by_function")
        found = pages.paginate(FunctionName=self._stack.output("FunctionName"))
        return {one["Version"] for page in found for one in page["Versions"]} - {"$LATEST"}

    def release_directly(self, current: str, target: str) -> None:
        """Let CodeDeploy release a version all at once, without CloudFormation.

        Raises:
            ScenarioFailed: The release failed.
        """
        function = self._stack.output("FunctionName")
        release = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Name": function,
                "Alias": self._stack.output("AliasArn").rpartition(":")[2],
                "CurrentVersion": current,
                "TargetVersion": target,
            },
        }
        spec = {
            "version": 0.0,
            "Resources": [{function: release}],
            "Hooks": [
                {"BeforeAllowTraffic": self._stack.output("PreTrafficFunctionName")},
                {"AfterAllowTraffic": self._stack.output("PostTrafficFunctionName")},
            ],
        }
        deployment_id = self._codedeploy.create_deployment(
            **self._group,
            deploymentConfigName="CodeDeployDefault.LambdaAllAtOnce",
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}},
        )["deploymentId"]
        self._wait_until_idle()
        info = self._codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        require(info["status"] == "Succeeded", f"{info['status']}: {info.get('errorInformation')}")

    def _wait_until_idle(self) -> None:
        """Wait for the end of every deployment, without giving up early: only one can run at a time."""
        deadline = time.monotonic() + self._stack.patience
        statuses = ["Created", "Queued", "InProgress"]
        while self._codedeploy.list_deployments(**self._group, includeOnlyStatuses=statuses)["deployments"]:
            require(time.monotonic() < deadline, "a deployment does not end")
            time.sleep(0.1)

    def versions_kept(self) -> int:
        """Return how many old versions the hook after traffic retains."""
        name = self._stack.output("PostTrafficFunctionName")
        hook = self._stack.client("lambda").get_function_configuration(FunctionName=name)
        return int(hook["Environment"]["Variables"]["VERSIONS_KEPT"])

    def publish(self) -> str:
        """Publish a version directly and return its number."""
        client, function = self._stack.client("lambda"), self._stack.output("FunctionName")
        variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        self._configure({**variables, "RELEASE": uuid4().hex})
        version: str = client.publish_version(FunctionName=function)["Version"]
        return version

    @contextmanager
    def trial(self) -> Iterator[str]:
        """Publish a version to release directly; restore the alias and delete the version after the body.

        Meanwhile the alias has provisioned concurrency, and another alias points at the current version too.
        """
        client = self._stack.client("lambda")
        function, _, live = self._stack.output("AliasArn").rpartition(":")
        variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        [current] = self.callers.shares()
        target = self.publish()
        client.create_alias(FunctionName=function, Name="current", FunctionVersion=current)
        client.put_provisioned_concurrency_config(
            FunctionName=function, Qualifier=live, ProvisionedConcurrentExecutions=1
        )
        try:
            yield target
        finally:
            self._wait_until_idle()
            client.delete_provisioned_concurrency_config(FunctionName=function, Qualifier=live)
            client.update_alias(FunctionName=function, Name=live, FunctionVersion=current, RoutingConfig={})
            client.delete_alias(FunctionName=function, Name="current")
            client.delete_function(FunctionName=function, Qualifier=target)
            self._configure(variables)

    def _configure(self, variables: Mapping[str, str]) -> None:
        client, function = self._stack.client("lambda"), self._stack.output("FunctionName")
        client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
        client.get_waiter("function_updated_v2").wait(FunctionName=function)


def app_spec(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AppSpec of a deployment, from either of its two places."""
    revision = deployment["revision"]
    place = "string" if revision["revisionType"] == "String" else "appSpecContent"
    found: dict[str, Any] = json.loads(revision[place]["content"])
    return found


def target_version(deployment: Mapping[str, Any]) -> str:
    """Return the version that a deployment releases."""
    [resource] = app_spec(deployment)["Resources"]
    [function] = resource.values()
    version: str = function["Properties"]["TargetVersion"]
    return version
