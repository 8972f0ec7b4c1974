"""A queue is read through an alias: while a release shifts its traffic, both versions get messages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Duration, RemovalPolicy, Stack
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.delivery.canary_alias import CanaryAlias
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from localaws import LocalAws
from scenarios.framework import NotYet, wait_until

pytestmark = [pytest.mark.local, pytest.mark.full]

CODE = """
import os, boto3
sqs = boto3.client("sqs")
def handler(event, context):
    for record in event["Records"]:
        sqs.send_message(QueueUrl=os.environ["SEEN_URL"], MessageBody=os.environ["RELEASE"])
    return {"batchItemFailures": []}
"""


def template(release: str, folder: Path) -> str:
    """The template of a consumer behind a canary alias, at a release."""
    app = App(outdir=str(folder), builtin_cloud_formation_validation=False, analytics_reporting=False)
    # The code is inline, so the deployment needs no bootstrapped environment.
    synthesizer = DefaultStackSynthesizer(generate_bootstrap_version_rule=False)
    stack = Stack(app, "Releases", synthesizer=synthesizer)
    seen = sqs.Queue(stack, "Seen")
    function = HardenedFunction(
        stack,
        "Worker",
        code=lambda_.Code.from_inline(CODE),
        handler="index.handler",
        environment={"SEEN_URL": seen.queue_url, "RELEASE": release},
        options=FunctionOptions(timeout=Duration.seconds(20)),
    )
    seen.grant(function.execution_role, "sqs:SendMessage")
    canary = CanaryAlias(
        stack,
        "Live",
        function=function,
        deployment_config=codedeploy.TimeBasedCanaryTrafficRouting(
            interval=Duration.minutes(10), percentage=50
        ),
    )
    work = SqsConsumer(stack, "Work", function=canary.alias, removal_policy=RemovalPolicy.DESTROY)
    CfnOutput(stack, "QueueUrl", value=work.queue.queue_url)
    CfnOutput(stack, "SeenUrl", value=seen.queue_url)
    app.synth()
    return (folder / "Releases.template.json").read_text()


def test_during_a_release_both_versions_get_messages(empty_aws: LocalAws, tmp_path: Path) -> None:
    cloudformation, queue = empty_aws.client("cloudformation"), empty_aws.client("sqs")
    capabilities = ["CAPABILITY_IAM"]
    cloudformation.create_stack(
        StackName="Releases", TemplateBody=template("one", tmp_path / "one"), Capabilities=capabilities
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="Releases", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [stack] = cloudformation.describe_stacks(StackName="Releases")["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    seen: Counter[str] = Counter()

    def wait_for(releases: set[str]) -> None:
        def check() -> None:
            queue.send_message(QueueUrl=outputs["QueueUrl"], MessageBody="work")
            answer = queue.receive_message(QueueUrl=outputs["SeenUrl"], MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                queue.delete_message(QueueUrl=outputs["SeenUrl"], ReceiptHandle=message["ReceiptHandle"])
                seen[message["Body"]] += 1
            if not releases <= seen.keys():
                raise NotYet(f"seen: {seen}")

        wait_until(check, what=f"messages at {releases}", timeout=60)

    wait_for({"one"})
    assert seen.keys() == {"one"}
    seen.clear()
    cloudformation.update_stack(
        StackName="Releases", TemplateBody=template("two", tmp_path / "two"), Capabilities=capabilities
    )
    wait_for({"two"})
    seen.clear()
    wait_for({"one", "two"})
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName="Releases", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
