"""The CDK's own custom resources work, and one that crashes fails its deployment immediately."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from aws_cdk import aws_ssm as ssm
from aws_cdk import custom_resources as cr

from helpers.stacks import (
    DeploymentFailedError,
    Resources,
    Stack,
    arn,
    deploy,
    function,
    role,
    template,
)
from localaws import LocalAws
from localaws.services.cloudformation.custom_resources import _pending_token, checked

pytestmark = pytest.mark.local

ACCOUNT, REGION, OTHER_REGION = "123456789012", "us-east-1", "eu-west-1"
IMPORTED = "a-bucket-that-was-there-before"
TEMPORARY = "/aws/lambda/that-was-there-before"


def buckets(stack: cdk.Stack) -> None:
    """A bucket with auto-delete, and an imported bucket; both notify a function of uploads."""
    listener = lambda_.Function(
        stack,
        "Listener",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
    )
    own = s3.Bucket(
        stack,
        "Own",
        versioned=True,
        enforce_ssl=True,
        auto_delete_objects=True,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    imported = s3.Bucket.from_bucket_name(stack, "Imported", IMPORTED)
    for bucket in (own, imported):
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, notifications.LambdaDestination(listener))
    cdk.CfnOutput(stack, "OwnName", value=own.bucket_name)
    cdk.CfnOutput(stack, "ListenerArn", value=listener.function_arn)


def log_retention(stack: cdk.Stack) -> None:
    """A retention for a log group that may or may not exist."""
    destroy = cdk.RemovalPolicy.DESTROY
    logs.LogRetention(
        stack,
        "Retention",
        log_group_name=TEMPORARY,
        retention=logs.RetentionDays.ONE_WEEK,
        removal_policy=destroy,
    )


def sdk_calls(stack: cdk.Stack, actions: list[str]) -> None:
    """SDK calls when the stack is created and deleted."""
    parameter = {"Name": "/made/by-a-call"}
    put = {**parameter, "Value": "here", "Type": "String", "Overwrite": True}
    resource = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/made/by-a-call"
    made = cr.AwsCustomResource(
        stack,
        "Made",
        on_update=cr.AwsSdkCall(
            service="SSM",
            action="putParameter",
            parameters=put,
            physical_resource_id=cr.PhysicalResourceId.of("made"),
        ),
        on_delete=cr.AwsSdkCall(service="SSM", action="deleteParameter", parameters=parameter),
        policy=cr.AwsCustomResourcePolicy.from_statements(
            [iam.PolicyStatement(actions=actions, resources=[resource])]
        ),
        install_latest_aws_sdk=False,
    )
    caller = cr.AwsCustomResource(
        stack,
        "Caller",
        on_update=cr.AwsSdkCall(
            service="@aws-sdk/client-sts",
            action="GetCallerIdentityCommand",
            physical_resource_id=cr.PhysicalResourceId.from_response("Account"),
        ),
        policy=cr.AwsCustomResourcePolicy.from_sdk_calls(resources=["*"]),
        install_latest_aws_sdk=False,
    )
    cdk.CfnOutput(stack, "Version", value=made.get_response_field("Version"))
    cdk.CfnOutput(stack, "Account", value=caller.get_response_field("Account"))


def network(stack: cdk.Stack) -> None:
    """A VPC with a restricted default security group."""
    isolated = ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        max_azs=1,
        nat_gateways=0,
        subnet_configuration=[isolated],
        restrict_default_security_group=True,
    )
    cdk.CfnOutput(stack, "Group", value=vpc.vpc_default_security_group)


ON_EVENT = """
import time
def handler(event, context):
    if event["RequestType"] == "Delete":
        return
    if event["ResourceProperties"].get("Fails"):
        raise ValueError("out of tea")
    data = {"Made": event["ResourceProperties"]["Leaves"], "At": str(time.time())}
    return {"PhysicalResourceId": "pot", "Data": data}
"""
IS_COMPLETE = """
import time
def handler(event, context):
    if event["RequestType"] == "Delete":
        return {"IsComplete": True}
    brewed = time.time() - float(event["Data"]["At"])
    return {"IsComplete": True, "Data": {"Cups": 2}} if brewed > 1 else {"IsComplete": False}
"""


def providers(stack: cdk.Stack, **properties: str) -> None:
    """Custom resources with the CDK's provider, one of which takes its time."""

    def source(name: str, code: str) -> lambda_.Function:
        inline = lambda_.Code.from_inline(code)
        runtime = lambda_.Runtime.PYTHON_3_13
        return lambda_.Function(stack, name, runtime=runtime, handler="index.handler", code=inline)

    on_event = source("OnEvent", ON_EVENT)
    plain = cr.Provider(stack, "Plain", on_event_handler=on_event)
    tea = cdk.CustomResource(
        stack, "Tea", service_token=plain.service_token, properties={"Leaves": "green", **properties}
    )
    cdk.CfnOutput(stack, "Id", value=tea.ref)
    cdk.CfnOutput(stack, "Made", value=tea.get_att_string("Made"))
    if properties:
        return
    slow = cr.Provider(
        stack,
        "Slow",
        on_event_handler=on_event,
        is_complete_handler=source("IsComplete", IS_COMPLETE),
        query_interval=cdk.Duration.seconds(1),
    )
    brewed = cdk.CustomResource(
        stack,
        "Brewed",
        service_token=slow.service_token,
        properties={"Leaves": "black"},
    )
    cdk.CfnOutput(stack, "Cups", value=brewed.get_att_string("Cups"))


class Apps:
    """The stacks of this module, synthesised once, deployed without the CLI."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The CDK's own validation costs seconds, and other tests run it.
        app = cdk.App(outdir=str(folder), analytics_reporting=False, builtin_cloud_formation_validation=False)
        for build in (buckets, log_retention, network):
            build(self._stack(app, build.__name__.replace("_", "-")))
        sdk_calls(self._stack(app, "sdk-calls"), ["ssm:PutParameter", "ssm:DeleteParameter"])
        sdk_calls(self._stack(app, "sdk-calls-without-permission"), ["ssm:GetParameter"])
        providers(self._stack(app, "providers"))
        providers(self._stack(app, "provider-that-fails"), Fails="yes")
        producer = self._stack(app, "producer", region=OTHER_REGION)
        consumer = self._stack(app, "consumer")
        made = ssm.StringParameter(producer, "Made", string_value="anything")
        cdk.CfnOutput(consumer, "Name", value=made.parameter_name)
        app.synth()

    @staticmethod
    def _stack(app: cdk.App, name: str, region: str = REGION) -> cdk.Stack:
        return cdk.Stack(
            app,
            name,
            env=cdk.Environment(account=ACCOUNT, region=region),
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
            cross_region_references=name in ("producer", "consumer"),
        )

    def deploy(self, aws: LocalAws, name: str, region: str = REGION) -> Stack:
        """Publish the stack's assets and deploy it."""
        client = aws.session.client("s3", region_name=region)
        location = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{region}", **location)
        for asset in json.loads((self.folder / f"{name}.assets.json").read_text())["files"].values():
            if asset["source"]["packaging"] == "zip":
                body = _zipped(self.folder / asset["source"]["path"])
                for to in asset["destinations"].values():
                    client.put_object(Bucket=to["bucketName"], Key=to["objectKey"], Body=body)
        template = json.loads((self.folder / f"{name}.template.json").read_text())
        return Stack(aws, name, region).deploy(template)


def _zipped(folder: Path) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive.getvalue()


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Apps:
    return Apps(tmp_path_factory.mktemp("custom-resources"))


# --- What the CDK emits


def test_a_bucket_with_auto_delete_is_emptied_when_its_stack_is_deleted(
    empty_aws: LocalAws, apps: Apps
) -> None:
    client = empty_aws.client("s3")
    client.create_bucket(Bucket=IMPORTED)
    stack = apps.deploy(empty_aws, "buckets")
    name = stack.outputs["OwnName"]
    for body in (b"one", b"two"):
        client.put_object(Bucket=name, Key="a b+c/ü.jpg", Body=body)
    client.delete_object(Bucket=name, Key="a b+c/ü.jpg")
    client.put_object(Bucket=name, Key="other", Body=b"")
    stack.delete()
    assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == {
        IMPORTED,
        f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}",
    }


def test_owned_and_imported_buckets_notify_until_their_stack_is_deleted(
    empty_aws: LocalAws, apps: Apps
) -> None:
    client = empty_aws.client("s3")
    client.create_bucket(Bucket=IMPORTED)
    queue = empty_aws.client("sqs").create_queue(QueueName="of-the-owner")["QueueUrl"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:of-the-owner",
    }
    empty_aws.client("sqs").set_queue_attributes(
        QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [statement]})}
    )
    owners = {
        "Id": "owners",
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:of-the-owner",
        "Events": ["s3:ObjectRemoved:*"],
    }
    client.put_bucket_notification_configuration(
        Bucket=IMPORTED, NotificationConfiguration={"QueueConfigurations": [owners]}
    )

    stack = apps.deploy(empty_aws, "buckets")
    for name in (stack.outputs["OwnName"], IMPORTED):
        (found,) = client.get_bucket_notification_configuration(Bucket=name)["LambdaFunctionConfigurations"]
        assert found["LambdaFunctionArn"] == stack.outputs["ListenerArn"]
        assert found["Events"] == ["s3:ObjectCreated:*"]

    stack.delete()
    left = client.get_bucket_notification_configuration(Bucket=IMPORTED)
    assert "LambdaFunctionConfigurations" not in left
    assert [entry["Id"] for entry in left["QueueConfigurations"]] == ["owners"]


def test_log_retention_is_set_and_the_group_is_deleted_with_the_stack(
    empty_aws: LocalAws, apps: Apps
) -> None:
    def groups() -> dict[str, int | None]:
        found = empty_aws.client("logs").describe_log_groups(logGroupNamePrefix=TEMPORARY)["logGroups"]
        return {group["logGroupName"]: group.get("retentionInDays") for group in found}

    empty_aws.client("logs").create_log_group(logGroupName=TEMPORARY)
    stack = apps.deploy(empty_aws, "log-retention")
    assert groups() == {TEMPORARY: 7}
    stack.delete()
    assert groups() == {}


def test_sdk_calls_are_made_with_their_roles_permissions(empty_aws: LocalAws, apps: Apps) -> None:
    client = empty_aws.client("ssm")
    stack = apps.deploy(empty_aws, "sdk-calls")
    assert stack.outputs == {"Version": "1", "Account": ACCOUNT}
    assert client.get_parameter(Name="/made/by-a-call")["Parameter"]["Value"] == "here"
    stack.delete()
    with pytest.raises(client.exceptions.ParameterNotFound):
        client.get_parameter(Name="/made/by-a-call")


def test_an_sdk_call_without_a_permission_fails_the_deployment(empty_aws: LocalAws, apps: Apps) -> None:
    with pytest.raises(DeploymentFailedError, match=r"not authorized to perform: ssm:PutParameter"):
        apps.deploy(empty_aws, "sdk-calls-without-permission")


def test_providers_answer_at_once_or_when_they_are_complete(empty_aws: LocalAws, apps: Apps) -> None:
    stack = apps.deploy(empty_aws, "providers")
    assert stack.outputs == {"Id": "pot", "Made": "green", "Cups": "2"}
    stack.delete()


def test_a_provider_whose_handler_fails_fails_the_deployment(empty_aws: LocalAws, apps: Apps) -> None:
    with pytest.raises(DeploymentFailedError, match=r"Tea: .*out of tea"):
        apps.deploy(empty_aws, "provider-that-fails")


def test_the_default_security_group_is_closed(empty_aws: LocalAws, apps: Apps) -> None:
    group = apps.deploy(empty_aws, "network").outputs["Group"]
    (found,) = empty_aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert (found["IpPermissions"], found["IpPermissionsEgress"]) == ([], [])


def test_references_cross_regions_and_leave_nothing_behind(empty_aws: LocalAws, apps: Apps) -> None:
    producer = apps.deploy(empty_aws, "producer", OTHER_REGION)
    consumer = apps.deploy(empty_aws, "consumer")
    there = empty_aws.session.client("ssm", region_name=OTHER_REGION)
    assert there.get_parameter(Name=consumer.outputs["Name"])["Parameter"]["Value"] == "anything"
    consumer.delete()
    producer.delete()
    assert empty_aws.client("ssm").get_parameters_by_path(Path="/cdk", Recursive=True)["Parameters"] == []


# --- What fails

CRASH = "def handler(event, context): raise ValueError('out of tea')"
HANG = "import time\ndef handler(event, context): time.sleep(600)"
ANSWER_AND_CRASH = """
import json, urllib.request

def handler(event, context):
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "tea", "StackId": event["StackId"],
              "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"]}
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT",
                                     headers={"Content-Type": ""})
    urllib.request.urlopen(request)
    raise ValueError("too late")
"""


def with_provider(source: str, timeout: int = 3, **properties: Any) -> Resources:
    """A custom resource whose function has this source."""
    provider = function("Role", source)
    provider["Properties"]["Timeout"] = timeout
    resource = {"Type": "Custom::Tea", "Properties": {"ServiceToken": arn("Provider"), **properties}}
    return {"Role": role(), "Provider": provider, "Tea": resource}


@pytest.mark.parametrize(("source", "reason"), [(CRASH, "ValueError: out of tea"), (HANG, "timed out")])
def test_a_function_that_crashes_or_hangs_fails_the_deployment_at_once(
    local_aws: LocalAws, source: str, reason: str
) -> None:
    # A caller that waits for an answer that does not come gives up after a minute, without a reason.
    with pytest.raises(DeploymentFailedError, match=f"(?i)Tea: .*{reason}"):
        deploy(local_aws, with_provider(source, timeout=1))


def test_an_answer_that_was_sent_before_the_crash_counts(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, with_provider(ANSWER_AND_CRASH), {"Made": {"Ref": "Tea"}})
    assert stack.outputs["Made"] == "tea"


def test_the_emulator_still_waits_for_a_function_that_crashed(stock_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="timed out after 1s waiting"):
        deploy(stock_aws, with_provider(CRASH, ServiceTimeout=1))


# --- What CloudFormation takes and does

ANSWERING = """
import json, urllib.request

def handler(event, context):
    asked = event["ResourceProperties"]
    if asked.get("Silent") == event["RequestType"]:
        return
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "made", "Reason": "out of tea",
              **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}}
    answer |= json.loads(asked.get(event["RequestType"], "{}"))
    for body in (answer, {**answer, "Status": "FAILED"}):
        request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT",
                                         headers={"Content-Type": asked.get("ContentType", "")})
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError:
            pass
"""
REQUEST = {"StackId": "arn:of-the-stack", "RequestId": "one", "LogicalResourceId": "Tea"}
RESPONSE = {**REQUEST, "Status": "SUCCESS", "PhysicalResourceId": "pot"}


@pytest.fixture(scope="module")
def provider(local_aws: LocalAws) -> str:
    """The ARN of a function that answers as it is asked to."""
    resources = {"Role": role(), "Function": function("Role", ANSWERING)}
    return deploy(local_aws, resources, {"Arn": arn("Function")}).outputs["Arn"]


def tea(token: str, timeout: int | str = 60, **asked: Any) -> Resources:
    """A custom resource; of what is asked, dictionaries change the response to a type of request."""
    texts = {name: json.dumps(one) if isinstance(one, dict) else one for name, one in asked.items()}
    properties = {"ServiceToken": token, "ServiceTimeout": timeout, **texts}
    return {"Tea": {"Type": "Custom::Tea", "Properties": properties}}


def failed(aws: LocalAws, resources: Resources) -> tuple[str, dict[str, str]]:
    """Why the creation of a stack failed, and the physical id in each event of its resource, by status."""
    stack = Stack(aws, f"stack-{uuid.uuid4().hex[:8]}")
    with pytest.raises(DeploymentFailedError) as reasons:
        stack.deploy(template(resources))
    events = aws.client("cloudformation").describe_stack_events(StackName=stack.name)["StackEvents"]
    return str(reasons.value).removeprefix("Tea: "), {
        event["ResourceStatus"]: event.get("PhysicalResourceId", "")
        for event in events
        if event["LogicalResourceId"] == "Tea"
    }


def test_a_resource_whose_creation_failed_is_deleted(local_aws: LocalAws, provider: str) -> None:
    why = "KeyError: 'PhysicalResourceId'"  # a reason says nothing about the id of the response
    reason, events = failed(local_aws, tea(provider, Create={"Status": "FAILED", "Reason": why}))
    assert f"Received response status [FAILED] from custom resource. Message returned: {why}" in reason
    assert events["DELETE_COMPLETE"] == "made"


def test_a_creation_without_a_physical_id_is_deleted_with_another_one(
    local_aws: LocalAws, provider: str
) -> None:
    reason, events = failed(local_aws, tea(provider, Create={"PhysicalResourceId": ""}))
    assert "Invalid PhysicalResourceId" in reason
    assert events["DELETE_COMPLETE"].startswith("stack-")
    assert "-Tea-" in events["DELETE_COMPLETE"]


@pytest.mark.parametrize("asked", [{"Silent": "Create"}, {"ContentType": "application/json"}])
def test_a_resource_without_a_response_fails_when_its_time_is_over(
    local_aws: LocalAws, provider: str, asked: dict[str, str]
) -> None:
    reason, events = failed(local_aws, tea(provider, timeout="20", **asked))
    assert "CloudFormation did not receive a response from your Custom Resource" in reason
    assert "DELETE_IN_PROGRESS" in events


def test_a_running_function_has_the_time_of_the_resource_and_no_more(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="Tea: CloudFormation did not receive a response"):
        deploy(local_aws, with_provider(HANG, timeout=20, ServiceTimeout=1))


@pytest.mark.parametrize("timeout", [0, 3601, "soon"])
def test_a_time_that_is_not_allowed_fails_the_resource(
    local_aws: LocalAws, provider: str, timeout: int | str
) -> None:
    reason, _events = failed(local_aws, tea(provider, timeout=timeout))
    assert f"ServiceTimeout is {timeout}" in reason


def test_a_resource_whose_function_does_not_exist_is_not_deleted(local_aws: LocalAws, provider: str) -> None:
    reason, events = failed(local_aws, tea(f"{provider}-of-others"))
    assert "not found" in reason
    assert "DELETE_IN_PROGRESS" not in events


def test_without_a_rollback_the_stacks_deletion_deletes_it(local_aws: LocalAws, provider: str) -> None:
    client, name = local_aws.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    body = json.dumps(template(tea(provider, Create={"Status": "FAILED"}, Delete={"Status": "FAILED"})))
    client.create_stack(StackName=name, TemplateBody=body, DisableRollback=True)
    with pytest.raises(DeploymentFailedError, match="out of tea"):
        Stack(local_aws, name).delete()


def test_what_a_resource_depends_on_stays_while_it_cannot_be_deleted(local_aws: LocalAws) -> None:
    resources = with_provider(ANSWERING, Delete=json.dumps({"Status": "FAILED"}))
    stack = deploy(local_aws, {**resources, "Other": role()})
    for _ in range(2):  # the second deletion finds the function, too
        with pytest.raises(DeploymentFailedError) as reasons:
            stack.delete()
        assert "not found" not in str(reasons.value)
    assert str(reasons.value).count("Message returned: out of tea") == 2
    left = local_aws.client("cloudformation").list_stack_resources(StackName=stack.name)
    names = {one["LogicalResourceId"] for one in left["StackResourceSummaries"]}
    assert names == {"Role", "Provider", "Tea"}


def test_the_first_response_counts_and_the_service_token_stays(local_aws: LocalAws, provider: str) -> None:
    stack = deploy(local_aws, tea(provider))
    stack.update(tea(provider, Update={"PhysicalResourceId": "made"}))
    with pytest.raises(DeploymentFailedError, match="Modifying service token is not allowed"):
        stack.update(tea(f"{provider}:$LATEST"))
    (described,) = local_aws.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"]
    assert described["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"Status": "FAILED", "Reason": "out of tea"}, "Message returned: out of tea (RequestId: one)"),
        ({"Status": "FAILED"}, "Reason"),
        (
            {"Status": "FAILED", "Reason": "out of tea", "PhysicalResourceId": ""},
            "Invalid PhysicalResourceId",
        ),
        ({"Status": "SUCCEEDED"}, "SUCCESS or FAILED"),
        ({"StackId": "arn:of-another"}, "StackId"),
        ({"RequestId": "another"}, "RequestId"),
        ({"LogicalResourceId": None}, "LogicalResourceId"),
        ({"PhysicalResourceId": None}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": 7}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": "ü" * 512}, ""),
        ({"PhysicalResourceId": "ü" * 513}, "Invalid PhysicalResourceId"),
        ({"Data": {"Leaves": "green"}}, ""),
        ({"Data": None}, ""),
        ({"Data": ["green"]}, "JSON object"),
    ],
)
def test_a_response_fails_the_resource_unless_it_is_complete(change: dict[str, Any], problem: str) -> None:
    _response, found = checked(json.dumps({**RESPONSE, **change}).encode(), REQUEST)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(("bytes_", "problem"), [(4096, ""), (4097, "Response object is too long.")])
def test_a_response_has_4096_bytes_at_most(bytes_: int, problem: str) -> None:
    body = json.dumps({**RESPONSE, "Data": {}})
    padded = body.replace("{}", json.dumps({"a": "x" * (bytes_ - len(body) - 7)}))
    assert checked(padded.encode(), REQUEST)[1] == problem
    assert len(padded) == bytes_


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"\xff", b'{"Data": {"Cups": NaN}}'])
def test_a_response_is_a_json_object(body: bytes) -> None:
    assert checked(body, REQUEST)[1] == "The response is not a JSON object"


@pytest.mark.parametrize("properties", [[1], "text", None, {}])
def test_an_event_of_a_user_that_looks_like_a_request_is_none(properties: object) -> None:
    assert _pending_token({}, {"ResponseURL": "https://x/1", "ResourceProperties": properties}) == ""
