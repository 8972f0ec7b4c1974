"""Updates of a deployed stack for drills, equivalent to a user's next `cdk deploy`.

The CDK turns a changed app into a changed template for CloudFormation. A drill has no app: it takes the
deployed template, changes it as the CDK would, and updates the stack with it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from scenarios.framework import DeployedStack, NotYet, require

Template = dict[str, Any]


class UpdateRolledBack(Exception):
    """The update failed and the stack is as it was before. The message has CloudFormation's reasons."""


class StackUpdates:
    """Updates of one deployed stack.

    Args:
        stack: The stack, deployed by the CDK. No other deployment of it may be running.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._cloudformation = stack.client("cloudformation")

    def template(self) -> Template:
        """Return a copy of the deployed template."""
        body = self._cloudformation.get_template(StackName=self._stack.name)["TemplateBody"]
        template: Template = json.loads(body) if isinstance(body, str) else copy.deepcopy(body)
        return template

    def update(self, template: Template) -> None:
        """Deploy a changed template and wait.

        Raises:
            UpdateRolledBack: The update failed.
        """
        self.start(template)
        self.finish()

    def start(self, template: Template) -> None:
        """Start to deploy a changed template with the present parameters."""
        self._cloudformation.update_stack(
            StackName=self._stack.name,
            TemplateBody=json.dumps(template),
            Parameters=[
                {"ParameterKey": name, "UsePreviousValue": True} for name in template.get("Parameters", {})
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )

    def finish(self) -> None:
        """Wait until the update is complete or rolled back.

        Raises:
            UpdateRolledBack: The update failed.
        """

        def check() -> str:
            [stack] = self._cloudformation.describe_stacks(StackName=self._stack.name)["Stacks"]
            status: str = stack["StackStatus"]
            # An update is complete only when CloudFormation has deleted the resources that it replaced.
            if status.endswith("_IN_PROGRESS"):
                raise NotYet(status)
            return status

        status = self._stack.wait_until(check, what=f"update of stack {self._stack.name}")
        if status != "UPDATE_COMPLETE":
            raise UpdateRolledBack(f"{status}: {'; '.join(self._reasons())}")

    def _reasons(self) -> list[str]:
        """Return why resources failed in the latest update, the first failure first."""
        reasons = []
        for event in self._cloudformation.describe_stack_events(StackName=self._stack.name)["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                reasons.append(f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}")
            started = event["ResourceStatus"] == "UPDATE_IN_PROGRESS"
            if started and event["ResourceType"] == "AWS::CloudFormation::Stack":
                break
        return reasons[::-1]

    def change_code(self, template: Template, function_id: str, files: Mapping[str, str]) -> None:
        """Change the code of a function in a template and publish a version of it, as the CDK does.

        Args:
            template: The template; it is changed.
            function_id: Logical id of the function.
            files: The text of each new or changed file.
        """
        resource = template["Resources"][function_id]
        code = resource["Properties"]["Code"]
        bucket = self._resolve(code["S3Bucket"])
        s3 = self._stack.client("s3")
        archive = changed_archive(s3.get_object(Bucket=bucket, Key=code["S3Key"])["Body"].read(), files)
        digest = hashlib.sha256(archive).hexdigest()
        s3.put_object(Bucket=bucket, Key=f"{digest}.zip", Body=archive)
        resource["Properties"]["Code"] = {**code, "S3Key": f"{digest}.zip"}
        self.publish_version(template, function_id, digest)

    def code_of(self, function: str) -> dict[str, str]:
        """Return bucket and key of the deployed code of a function, as arguments of UpdateFunctionCode.

        Args:
            function: Name of the function.
        """
        found = self._cloudformation.describe_stack_resources(StackName=self._stack.name)["StackResources"]
        (logical_id,) = {one["LogicalResourceId"] for one in found if one["PhysicalResourceId"] == function}
        code = self.template()["Resources"][logical_id]["Properties"]["Code"]
        return {"S3Bucket": self._resolve(code["S3Bucket"]), "S3Key": code["S3Key"]}

    def publish_version(self, template: Template, function_id: str, digest: str) -> None:
        """Give the version of a function another logical id, so that CloudFormation publishes a new one.

        Args:
            template: The template, with a changed function; it is changed.
            function_id: Logical id of the function.
            digest: At least 32 hexadecimal digits, different for each version.
        """
        for logical_id, resource in list(template["Resources"].items()):
            of = resource.get("Properties", {}).get("FunctionName")
            if resource["Type"] == "AWS::Lambda::Version" and of == {"Ref": function_id}:
                # The CDK's ids end with the hash of code and configuration, 32 digits.
                renamed = f"{logical_id[:-32]}{digest[:32]}"
                whole = json.dumps(template).replace(f'"{logical_id}"', f'"{renamed}"')
                template.clear()
                template.update(json.loads(whole))

    def _resolve(self, value: str | Mapping[str, str]) -> str:
        """Resolve a name with the account and the region in it, as the CDK writes that of its bucket."""
        if isinstance(value, str):
            return value
        require(list(value) == ["Fn::Sub"], f"cannot resolve the code's bucket {value}")
        account = self._stack.client("sts").get_caller_identity()["Account"]
        region = self._stack.session.region_name
        return value["Fn::Sub"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)


def changed_archive(archive: bytes, files: Mapping[str, str]) -> bytes:
    """Return the archive with some files replaced or added; the same bytes for the same files."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(changed, "w") as new:
        contents = {name: old.read(name) for name in old.namelist()}
        contents |= {name: text.encode() for name, text in files.items()}
        for name in sorted(contents):
            new.writestr(zipfile.ZipInfo(name), contents[name])
    return changed.getvalue()
