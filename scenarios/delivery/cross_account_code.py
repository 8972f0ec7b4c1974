"""Publishes releases, deploys them in this account and in another one, and takes the right to read away."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.support.other_account import administrator_of, make_member

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_SOURCE = Path(__file__).resolve().parents[2] / "lambda_src/delivery/cross_account_code/handler.py"
_KEY = "prices.zip"
_REQUEST = {"net": "100.00"}


def run(stack: DeployedStack) -> Outcome:
    """New content under the same key changes nothing; another object version does.

    Raises:
        ScenarioFailed: A function ran other code than that of its template.
    """
    story = Story("Code inline, in a bucket, and by object version", stack.tell)
    with story.timed("a price"):
        answer = _invoke(stack, "FunctionName")
    require(answer == {"gross": "119.00", "release": "1"}, f"the function answered {answer}")
    story.say(f"From the CDK's bucket, by the hash of the content: {answer}.")
    inline = _invoke(stack, "InlineFunctionName")
    require(inline == {"release": "inline", "files": ["index.py"], "has_powertools": False}, f"{inline}")
    story.fact("files of inline code", len(inline["files"]))
    story.say("Inline: the archive has index.py only, so there is nothing to import but the runtime's own.")
    with _consumer(stack) as consumer:
        second = _publish(stack, "2")
        consumer.deploy()
        require(consumer.release() == "2", f"the newest version is release {consumer.release()}")
        third = _publish(stack, "3")
        require(not consumer.deploy(), "CloudFormation updated a stack without a change")
        consumer.deploy(description="changed")
        story.fact("same key, new content", consumer.release())
        story.say(
            "Release 3 under the key of release 2: CloudFormation finds no change, and a deployment that "
            f"changes another property leaves release {consumer.release()}."
        )
        consumer.deploy(third)
        story.fact("new object version", consumer.release())
        consumer.deploy(second)
        story.fact("old object version", consumer.release())
        story.say("With the object version of release 3: release 3. With that of release 2: release 2 again.")
    story.say("All of this in one account; the failure drill deploys in a second one.")
    facts = story.outcome().facts
    expected = {"same key, new content": "2", "new object version": "3", "old object version": "2"}
    require({name: facts[name] for name in expected} == expected, f"the releases were {facts}")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Invoke both functions once: they need no permission of their own.

    Raises:
        ScenarioFailed: A call failed.
    """
    _invoke(stack, "FunctionName")
    _invoke(stack, "InlineFunctionName")


EVENT = BilledEvent("a call", lambda stack: _invoke(stack, "FunctionName"))

ROLES = (Covered("FunctionName", smoke), Covered("InlineFunctionName", smoke))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the releases in the bucket: only the scenario publishes them."""
    found = stack.client("s3").list_object_versions(Bucket=stack.output("BucketName"))
    return [f"release: {one['VersionId']}" for one in found.get("Versions", [])]


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Another account deploys only while the policy of the bucket names it.

    Raises:
        ScenarioFailed: It read the code without that, or did not get it with that.
    """
    story = Story("Another account loses the right to read the code", stack.tell)
    account = make_member(stack)[1]
    with _consumer(stack, **administrator_of(stack, account)) as consumer:
        second, third = _publish(stack, "2"), _publish(stack, "3")
        refused = consumer.refusal(second)
        story.fact("created without the policy", refused)
        story.say(f"An administrator of another account, whom the bucket's policy does not name: {refused}.")
        with _named(stack, account):
            consumer.deploy(second)
            story.fact("created with the policy", consumer.release())
            story.say(f"The policy names that account: its stack deploys release {consumer.release()}.")
        refused = consumer.refusal(third)
        story.fact("updated without the policy", refused)
        story.fact("still runs", consumer.release())
        story.say(
            f"The policy names it no more. Update to release 3: {refused}, rolled back; Lambda has a copy of "
            f"release {consumer.release()}, which still runs."
        )
        with _named(stack, account):
            refused = consumer.refusal("A" * 32)
            story.fact("a version that does not exist", refused)
            story.say(f"An object version that does not exist: {refused}.")
            consumer.deploy(third)
            story.fact("updated with the policy", consumer.release())
            story.say(f"The policy names it again: release {consumer.release()}.")
    facts = story.outcome().facts
    expected = {
        "created without the policy": "AccessDenied",
        "created with the policy": "2",
        "updated without the policy": "AccessDenied",
        "still runs": "2",
        "a version that does not exist": "NoSuchVersion",
        "updated with the policy": "3",
    }
    require(facts == expected, f"expected {expected}, saw {facts}")
    return story.outcome()


def _invoke(stack: DeployedStack, output: str) -> dict[str, Any]:
    answer = stack.client("lambda").invoke(FunctionName=stack.output(output), Payload=json.dumps(_REQUEST))
    result = json.loads(answer["Payload"].read())
    require("FunctionError" not in answer, f"{output}: {result}")
    return dict(result)


def _publish(stack: DeployedStack, release: str) -> str:
    """Publish a release under the one key, as a build would; return its object version."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("handler.py", _SOURCE.read_text())
        files.writestr("release.json", json.dumps({"release": release, "tax": "0.19"}))
    made = stack.client("s3").put_object(Bucket=stack.output("BucketName"), Key=_KEY, Body=archive.getvalue())
    return str(made["VersionId"])


class _Consumer:
    """A stack with a function whose code is a version of the archive.

    Args:
        stack: The deployed stack, with the bucket.
        **own: Credentials of another account, as arguments of a client.
    """

    def __init__(self, stack: DeployedStack, **own: Any) -> None:
        self._stack, self._name = stack, f"{stack.name}-consumer"
        self._cloudformation = stack.session.client("cloudformation", **own)
        self._lambda = stack.session.client("lambda", **own)

    def deploy(self, version: str = "", description: str = "") -> bool:
        """Create or update the stack; return whether that was an update at all."""
        try:
            status = self._deploy(version, description)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return False
            raise
        require(status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), f"{status}: {self._reasons()}")
        return True

    def refusal(self, version: str) -> str:
        """Deploy what cannot be deployed; return S3's error code, or `none`."""
        status = self._deploy(version)
        reasons = self._reasons()
        if status == "ROLLBACK_COMPLETE":
            self.delete()
        return next((part.split(".")[0] for part in reasons.split("S3 Error Code: ")[1:]), "none")

    def _deploy(self, version: str, description: str = "") -> str:
        deploy = self._cloudformation.update_stack if self._status() else self._cloudformation.create_stack
        template = json.dumps(_template(self._stack.output("BucketName"), version, description))
        deploy(StackName=self._name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        return self._stack.wait_until(self._settled, f"stack {self._name}")

    def release(self) -> str:
        """Which release the function runs."""
        name = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]["Outputs"][0]
        answer = self._lambda.invoke(FunctionName=name["OutputValue"], Payload=json.dumps(_REQUEST))
        return str(json.loads(answer["Payload"].read()).get("release"))

    def delete(self) -> None:
        """Delete the stack, if there is one, and wait."""
        if self._status():
            self._cloudformation.delete_stack(StackName=self._name)
            self._stack.wait_until(self._gone, f"deletion of stack {self._name}")

    def _status(self) -> str:
        try:
            return str(self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]["StackStatus"])
        except ClientError:
            return ""

    def _settled(self) -> str:
        status = self._status()
        if status.endswith("_IN_PROGRESS"):
            raise NotYet(status)
        return status

    def _gone(self) -> None:
        if status := self._status():
            raise NotYet(status)

    def _reasons(self) -> str:
        events = self._cloudformation.describe_stack_events(StackName=self._name)["StackEvents"]
        return "; ".join(
            one.get("ResourceStatusReason", "") for one in events if one["ResourceStatus"].endswith("FAILED")
        )


@contextmanager
def _consumer(stack: DeployedStack, **own: Any) -> Iterator[_Consumer]:
    """A stack that is deleted afterwards, with all releases."""
    consumer, bucket = _Consumer(stack, **own), stack.output("BucketName")
    try:
        yield consumer
    finally:
        consumer.delete()
        s3 = stack.client("s3")
        for one in s3.list_object_versions(Bucket=bucket).get("Versions", []):
            s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


@contextmanager
def _named(stack: DeployedStack, account: str) -> Iterator[None]:
    """Let the policy of the bucket name another account, as `deploying-account` would."""
    s3, bucket = stack.client("s3"), stack.output("BucketName")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    own = stack.client("sts").get_caller_identity()["Account"]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy.replace(f"::{own}:root", f"::{account}:root"))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def _template(bucket: str, version: str, description: str = "") -> dict[str, Any]:
    code = {"S3Bucket": bucket, "S3Key": _KEY} | ({"S3ObjectVersion": version} if version else {})
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    document = {"Version": "2012-10-17", "Statement": [trust]}
    function = {
        "Runtime": "python3.13",
        "Handler": "handler.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": code,
        "Description": description,
    }
    return {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document}},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
        },
        "Outputs": {"Name": {"Value": {"Ref": "Function"}}},
    }
