"""What can be released to a deployed alias: by CloudFormation as by `cdk deploy`, or by CodeDeploy itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from scenarios.delivery.callers import Callers, Shares
from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, require
from scenarios.support.stack_updates import StackUpdates, UpdateRefused


class Releases:
    """The deployed stack, and what can be released with it."""

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
        """Begin to deploy a release that behaves so, as a `cdk deploy` would."""
        template = self._updates.template()
        [function_id] = [
            logical_id
            for logical_id, resource in template["Resources"].items()
            if resource["Type"] == "AWS::Lambda::Function"
            and "BEHAVIOUR" in resource["Properties"].get("Environment", {}).get("Variables", {})
        ]
        variables = template["Resources"][function_id]["Properties"]["Environment"]["Variables"]
        variables |= {"RELEASE": uuid4().hex, "BEHAVIOUR": behaviour}
        self._updates.new_version(template, function_id, variables["RELEASE"])
        self._updates.start(template)

    def finish(self) -> None:
        """Wait until the release is over.

        Raises:
            UpdateRefused: It was taken back.
        """
        self._updates.finish()

    def must_be_taken_back(self) -> str:
        """Wait until the release is taken back, and return why.

        Raises:
            ScenarioFailed: It was released, or the stack could not be rolled back.
        """
        try:
            self.finish()
        except UpdateRefused as refused:
            require(str(refused).startswith("UPDATE_ROLLBACK_COMPLETE"), f"no clean rollback: {refused}")
            return str(refused)
        raise ScenarioFailed("a release that should have been taken back was not")

    def wait_for_canary(self) -> Shares:
        """Wait until some callers got the new version."""

        def check() -> Shares:
            shares = self.callers.shares()
            met = {call.version for call in self.callers.calls}
            if len(shares) == 1 or met != set(shares):
                raise NotYet(f"the alias leads to {sorted(shares)}, and callers met {sorted(met)}")
            return shares

        return self._stack.wait_until(check, "a first share of the callers for the new version")

    def last_deployment(self) -> dict[str, Any] | None:
        """The newest deployment that released something and took nothing back, if there is one."""
        for deployment_id in self._codedeploy.list_deployments(**self._group)["deployments"]:
            info: dict[str, Any] = self._codedeploy.get_deployment(deploymentId=deployment_id)[
                "deploymentInfo"
            ]
            if info.get("creator") != "codeDeployRollback":
                return info
        return None

    def stop(self) -> None:
        """Stop the deployment that is running, and have it taken back."""
        deployment = self.last_deployment()
        assert deployment is not None
        self._codedeploy.stop_deployment(deploymentId=deployment["deploymentId"], autoRollbackEnabled=True)

    def cancel(self) -> None:
        """Cancel the update of the stack."""
        self._stack.client("cloudformation").cancel_update_stack(StackName=self._stack.name)

    def failed_case(self, began: float) -> dict[str, Any]:
        """What the hook before traffic wrote about the case that failed since then."""
        function = self._stack.output("PreTrafficFunctionName")
        group = self._stack.client("lambda").get_function_configuration(FunctionName=function)[
            "LoggingConfig"
        ]["LogGroup"]

        def check() -> dict[str, Any]:
            pages = (
                self._stack.client("logs")
                .get_paginator("filter_log_events")
                .paginate(logGroupName=group, startTime=int(began * 1000))
            )
            for page in pages:
                for event in page["events"]:
                    if '"case"' in event["message"]:
                        line: dict[str, Any] = json.loads(event["message"])
                        return line
            raise NotYet("no such line")

        return self._stack.wait_until(check, "the line of the hook's log that names the case")

    def release_by_hand(self) -> None:
        """Publish a version and release it to all at once, without CloudFormation.

        Raises:
            ScenarioFailed: CodeDeploy did not release it, or old versions were not deleted.
        """
        [current] = self.callers.shares()
        function = self._stack.output("FunctionName")
        spec = {
            "version": 0.0,
            "Resources": [
                {
                    function: {
                        "Type": "AWS::Lambda::Function",
                        "Properties": {
                            "Name": function,
                            "Alias": self._stack.output("AliasArn").rpartition(":")[2],
                            "CurrentVersion": current,
                            "TargetVersion": self._publish(function),
                        },
                    }
                }
            ],
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
        self._stack.wait_until(self._nothing_is_deployed, "the end of the deployment")
        info = self._codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        if info["status"] != "Succeeded":
            raise ScenarioFailed(f"{info['status']}: {info.get('errorInformation')}")
        self._require_few_versions(function)

    def _publish(self, function: str) -> str:
        client = self._stack.client("lambda")
        variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=function, Environment={"Variables": {**variables, "RELEASE": uuid4().hex}}
        )
        client.get_waiter("function_updated_v2").wait(FunctionName=function)
        version: str = client.publish_version(FunctionName=function)["Version"]
        return version

    def _nothing_is_deployed(self) -> None:
        running = self._codedeploy.list_deployments(
            **self._group, includeOnlyStatuses=["Created", "Queued", "InProgress"]
        )["deployments"]
        if running:
            raise NotYet(f"{running} not over")

    def _require_few_versions(self, function: str) -> None:
        client = self._stack.client("lambda")
        hook = client.get_function_configuration(FunctionName=self._stack.output("PostTrafficFunctionName"))
        kept = int(hook["Environment"]["Variables"]["VERSIONS_KEPT"])
        pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        versions = [one["Version"] for page in pages for one in page["Versions"]]
        require(
            len(versions) <= kept + 2,  # the released one, and $LATEST
            f"{kept} old versions should be kept, and there are {versions}",
        )


def app_spec(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The AppSpec of a deployment, in whichever of its two places."""
    revision = deployment["revision"]
    place = "string" if revision["revisionType"] == "String" else "appSpecContent"
    found: dict[str, Any] = json.loads(revision[place]["content"])
    return found
