"""Deploys again what is deployed, with a change: what a user's next `cdk deploy` does, for drills.

The CDK turns a changed app into a changed template and hands it to CloudFormation. A drill has no app, so it
takes the template that is deployed, changes it as the CDK would, and hands it to CloudFormation.
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


class UpdateRefused(Exception):
    """The stack is as it was before: the update was rolled back. The message has CloudFormation's reasons."""


class StackUpdates:
    """Updates of one deployed stack.

    Args:
        stack: The stack, deployed by the CDK. On the embedded AWS: nobody else may be deploying it.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._cloudformation = stack.client("cloudformation")
        self._token = ""

    def template(self) -> Template:
        """The template that is deployed, as a copy that may be changed."""
        body = self._cloudformation.get_template(StackName=self._stack.name)["TemplateBody"]
        template: Template = json.loads(body) if isinstance(body, str) else copy.deepcopy(body)
        return template

    def update(self, template: Template) -> None:
        """Deploy a changed template, and wait.

        Raises:
            UpdateRefused: It was rolled back.
        """
        self.start(template)
        self.finish()

    def start(self, template: Template) -> None:
        """Begin to deploy a changed template; the parameters stay as they are."""
        text = json.dumps(template)
        self._token = f"drill-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._cloudformation.update_stack(
            StackName=self._stack.name,
            TemplateBody=text,
            Parameters=[
                {"ParameterKey": name, "UsePreviousValue": True} for name in template.get("Parameters", {})
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            ClientRequestToken=self._token,
        )

    def finish(self) -> None:
        """Wait until the update is done or undone.

        Raises:
            UpdateRefused: It was rolled back.
        """

        def check() -> str:
            stack: Mapping[str, str] = self._cloudformation.describe_stacks(StackName=self._stack.name)[
                "Stacks"
            ][0]
            # The old resources that an update leaves behind are deleted once it is done.
            if stack["StackStatus"].endswith("_IN_PROGRESS"):
                raise NotYet(stack["StackStatus"])
            return stack["StackStatus"]

        status = self._stack.wait_until(check, what=f"update of stack {self._stack.name}")
        if status != "UPDATE_COMPLETE":
            raise UpdateRefused(f"{status}: {'; '.join(self._reasons())}")

    def _reasons(self) -> list[str]:
        """Why resources failed in the newest update, the first failure first."""
        reasons = []
        for event in self._cloudformation.describe_stack_events(StackName=self._stack.name)["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                reasons.append(f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}")
            begins = event["ResourceStatus"] == "UPDATE_IN_PROGRESS"
            if begins and event["ResourceType"] == "AWS::CloudFormation::Stack":
                break
        return reasons[::-1]

    def changed_code(self, template: Template, function_id: str, files: Mapping[str, str]) -> None:
        """Put other code into a template, and a version of it to publish, as the CDK does.

        Args:
            template: The template; it is changed.
            function_id: Logical id of the function.
            files: The text of each file that is new or different.
        """
        resource = template["Resources"][function_id]
        code = resource["Properties"]["Code"]
        bucket = self._resolve(code["S3Bucket"])
        s3 = self._stack.client("s3")
        archive = _changed(s3.get_object(Bucket=bucket, Key=code["S3Key"])["Body"].read(), files)
        digest = hashlib.sha256(archive).hexdigest()
        s3.put_object(Bucket=bucket, Key=f"{digest}.zip", Body=archive)
        resource["Properties"]["Code"] = {**code, "S3Key": f"{digest}.zip"}
        self.new_version(template, function_id, digest)

    def new_version(self, template: Template, function_id: str, digest: str) -> None:
        """Give the version another logical id, so that CloudFormation publishes one beside the old.

        Args:
            template: The template, with a changed function; it is changed.
            function_id: Logical id of the function.
            digest: 32 digits or more that tell this version from all others.
        """
        for logical_id, resource in list(template["Resources"].items()):
            of = resource.get("Properties", {}).get("FunctionName")
            if resource["Type"] == "AWS::Lambda::Version" and of == {"Ref": function_id}:
                # The CDK's ids end in the hash of code and configuration, 32 digits.
                renamed = f"{logical_id[:-32]}{digest[:32]}"
                whole = json.dumps(template).replace(f'"{logical_id}"', f'"{renamed}"')
                template.clear()
                template.update(json.loads(whole))

    def _resolve(self, value: str | Mapping[str, str]) -> str:
        """A name that may contain the account and the region, as the CDK writes its bucket's."""
        if isinstance(value, str):
            return value
        require(list(value) == ["Fn::Sub"], f"cannot tell the bucket of the code from {value}")
        account = self._stack.client("sts").get_caller_identity()["Account"]
        region = self._stack.session.region_name
        return value["Fn::Sub"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)


def _changed(archive: bytes, files: Mapping[str, str]) -> bytes:
    """The archive with some files replaced or added; the same for the same files."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(changed, "w") as new:
        contents = {name: old.read(name) for name in old.namelist()}
        contents |= {name: text.encode() for name, text in files.items()}
        for name in sorted(contents):
            new.writestr(zipfile.ZipInfo(name), contents[name])
    return changed.getvalue()
