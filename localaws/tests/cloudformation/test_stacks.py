"""DescribeStacks returns when a change ends, and conditions can join."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.lambda_functions import Hold
from helpers.stacks import Resources, arn, deploy, function, role, template
from localaws import LocalAws
from localaws.services.cloudformation import stacks

pytestmark = pytest.mark.local

_ANSWERS_LATER = """
import json, urllib.request

def handler(event, context):
    hold()
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": "it"}
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT",
                                     headers={"Content-Type": ""})
    urllib.request.urlopen(request)
"""


def start(aws: LocalAws, hold: Hold) -> str:
    """Start creating a stack that is ready when it is released, and return its name."""
    name = f"stack-{uuid.uuid4().hex[:8]}"
    resources: Resources = {
        "Role": role(),
        "Function": function("Role", hold.source + _ANSWERS_LATER),
        "Slow": {"Type": "Custom::Slow", "Properties": {"ServiceToken": arn("Function")}},
    }
    resources["Function"]["Properties"]["Timeout"] = 300  # by default it would time out while it is held
    aws.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template(resources)), Capabilities=["CAPABILITY_IAM"]
    )
    hold.wait()
    return name


def status(aws: LocalAws, name: str) -> str:
    answer: str = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    return answer


def test_a_request_before_the_end_of_a_change_returns_at_its_end(local_aws: LocalAws, hold: Hold) -> None:
    name = start(local_aws, hold)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(status, local_aws, name)
        time.sleep(0.2)  # the request arrives; if it comes later, it has less to wait for
        hold.release()
        answers = [asking.result()]
    # On a busy machine the end may be more than the three seconds away that a request waits.
    while answers[-1] == "CREATE_IN_PROGRESS":
        answers.append(status(local_aws, name))
    assert answers[-1] == "CREATE_COMPLETE"
    assert len(answers) < 4  # many short answers would be those of the emulator


def test_a_long_change_is_answered_as_it_is_and_others_do_not_wait(local_aws: LocalAws, hold: Hold) -> None:
    name = start(local_aws, hold)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(status, local_aws, name)
        others = 0
        while not asking.done():  # for three seconds
            local_aws.client("sts").get_caller_identity()
            others += 1
    assert asking.result() == "CREATE_IN_PROGRESS"
    assert others > 3  # one may have come before the request, and one after its answer


def test_still_needed_the_emulator_answers_at_once(stock_aws: LocalAws, hold: Hold) -> None:
    assert status(stock_aws, start(stock_aws, hold)) == "CREATE_IN_PROGRESS"


# --- Fn::Join in conditions


def conditional(aws: LocalAws, value: str) -> dict[str, str]:
    """Deploy a stack that joins a list parameter in a condition, as the CDK's bootstrap does."""
    name = f"stack-{uuid.uuid4().hex[:8]}"
    joined = {"Fn::Join": ["", {"Ref": "Names"}]}
    described = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": ""}},
        "Conditions": {"HasNames": {"Fn::Not": [{"Fn::Equals": ["", joined]}]}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"Names": {"Value": {"Fn::If": ["HasNames", "some", "none"]}}},
    }
    client = aws.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps(described),
        Parameters=[{"ParameterKey": "Names", "ParameterValue": value}],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.05})
    outputs = client.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def test_a_condition_can_ask_whether_a_list_is_empty(local_aws: LocalAws) -> None:
    assert conditional(local_aws, "") == {"Names": "none"}
    assert conditional(local_aws, "a,b") == {"Names": "some"}


def test_still_needed_the_emulator_takes_any_joined_list_for_a_full_one(stock_aws: LocalAws) -> None:
    assert conditional(stock_aws, "") == {"Names": "some"}


@pytest.mark.parametrize("error", [KeyError("Name"), IndexError("Name"), AssertionError()])
def test_an_error_that_says_nothing_is_named(error: Exception) -> None:
    def failing(*args: object) -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        stacks._handled(failing, "AWS::SQS::Queue", "Queue", {}, "stack")


def test_a_nested_stack_names_its_parent_and_its_root(local_aws: LocalAws) -> None:
    s3, bucket = local_aws.client("s3"), f"templates-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)

    def nesting(resources: Resources) -> Resources:
        key = f"{uuid.uuid4().hex}.json"
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(template(resources)).encode())
        url = f"https://s3.us-east-1.amazonaws.com/{bucket}/{key}"
        return {"Child": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}

    top = deploy(local_aws, nesting(nesting({"Topic": {"Type": "AWS::SNS::Topic"}})))
    described = local_aws.client("cloudformation").describe_stacks()["Stacks"]
    root = next(one for one in described if one["StackName"] == top.name)
    child = next(one for one in described if one.get("ParentId") == root["StackId"])
    grandchild = next(one for one in described if one.get("ParentId") == child["StackId"])
    assert "ParentId" not in root
    assert child["RootId"] == grandchild["RootId"] == root["StackId"]
