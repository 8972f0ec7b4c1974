"""Express workflows: StartSyncExecution, limits, logs, metrics, errors of functions."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import DeploymentFailedError, arn, deploy, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

HELLO = {"Type": "Pass", "Result": {"hello": "world"}, "End": True}
FAIL = {"Type": "Fail", "Error": "OutOfStock", "Cause": "none left"}
DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)


def definition(*states: dict[str, Any], **more: Any) -> dict[str, Any]:
    """States, each followed by the next one."""
    named = {f"S{number}": dict(state) for number, state in enumerate(states)}
    for number, state in enumerate(list(named.values())[:-1]):
        state["Next"] = f"S{number + 1}"
    return {"StartAt": "S0", "States": named, **more}


def make(aws: LocalAws, *states: dict[str, Any], kind: str = "EXPRESS", **settings: Any) -> str:
    """A state machine; returns its ARN."""
    limits = {"TimeoutSeconds": seconds} if (seconds := settings.pop("timeout", None)) else {}
    settings.setdefault("roleArn", Functions(aws).role(service="states.amazonaws.com"))
    return str(
        aws.client("stepfunctions").create_state_machine(
            name=f"machine-{uuid.uuid4().hex[:8]}",
            definition=json.dumps(definition(*states, **limits)),
            type=kind,
            **settings,
        )["stateMachineArn"]
    )


def start(aws: LocalAws, machine: str, given: object = None, **more: Any) -> dict[str, Any]:
    """Run a workflow and wait for the answer."""
    client = aws.client("stepfunctions")
    answer: dict[str, Any] = client.start_sync_execution(
        stateMachineArn=machine, input=json.dumps(given or {}), **more
    )
    return answer


def code(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_the_output_comes_back_with_what_an_express_execution_has(local_aws: LocalAws) -> None:
    machine = make(local_aws, HELLO)
    answer = start(local_aws, machine, {"a": 1}, name="order-1")
    assert (answer["status"], json.loads(answer["output"])) == ("SUCCEEDED", {"hello": "world"})
    kind, _, rest = answer["executionArn"].partition(f":express:{machine.rpartition(':')[2]}:order-1:")
    assert kind.startswith("arn:aws:states:")
    assert uuid.UUID(rest)
    assert answer["billingDetails"]["billedMemoryUsedInMB"] == 64
    assert (answer["inputDetails"], "error" in answer) == ({"included": True}, False)
    assert start(local_aws, machine, name="order-1")["status"] == "SUCCEEDED"  # names may be used again


def test_an_error_comes_back_without_output(local_aws: LocalAws) -> None:
    answer = start(local_aws, make(local_aws, FAIL))
    assert (answer["status"], answer["error"], answer["cause"]) == ("FAILED", "OutOfStock", "none left")
    assert "output" not in answer


def test_what_starts_no_execution_is_refused(local_aws: LocalAws) -> None:
    client, express = local_aws.client("stepfunctions"), make(local_aws, HELLO)
    run, standard = client.start_sync_execution, make(local_aws, HELLO, kind="STANDARD")
    assert code(run, stateMachineArn=standard) == "StateMachineTypeNotSupported"
    assert code(run, stateMachineArn=f"{express}x") == "StateMachineDoesNotExist"
    for text in ("not JSON", "[" * 100_000 + "]" * 100_000, "9" * 5000, "NaN"):
        assert code(run, stateMachineArn=express, input=text) == "InvalidExecutionInput"
    assert code(run, stateMachineArn=express, input=json.dumps("x" * 262_144)) == "ValidationException"


def test_an_express_execution_has_no_history(local_aws: LocalAws) -> None:
    client, machine = local_aws.client("stepfunctions"), make(local_aws, HELLO)
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    for call in (client.describe_execution, client.get_execution_history, client.stop_execution):
        assert code(call, executionArn=execution) == "InvalidArn"
    assert code(client.list_executions, stateMachineArn=machine) == "StateMachineTypeNotSupported"


@pytest.mark.parametrize(
    ("wait", "timeout", "status"), [(400, None, "TIMED_OUT"), (30, 20, "TIMED_OUT"), (30, 40, "SUCCEEDED")]
)
def test_an_execution_ends_after_its_timeout_or_five_minutes(
    local_aws: LocalAws, wait: int, timeout: int | None, status: str
) -> None:
    answer = start(local_aws, make(local_aws, {"Type": "Wait", "Seconds": wait}, HELLO, timeout=timeout))
    assert answer["status"] == status
    billed = answer["billingDetails"]["billedDurationInMilliseconds"] / 1000
    expected = min(wait, timeout or 300)
    assert expected - 0.5 < billed < expected + 9.5  # a busy machine takes some seconds more


def test_no_state_follows_a_task_that_is_not_over_in_time(functions: Functions) -> None:
    aws = functions.aws
    slow = functions.make("import time\ndef handler(event, context): time.sleep(20)")
    function = functions.arn("lambda", f"function:{slow}")
    allowed = functions.role(("lambda:InvokeFunction", function), service="states.amazonaws.com")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "S1"}]
    task = {"Type": "Task", "Resource": function, "Catch": catch}
    answer = start(aws, make(aws, task, HELLO, roleArn=allowed, timeout=1))
    assert (answer["status"], "output" in answer) == ("TIMED_OUT", False)


def test_a_standard_execution_ends_after_its_timeout_too(local_aws: LocalAws) -> None:
    client = local_aws.client("stepfunctions")
    machine = make(local_aws, {"Type": "Wait", "Seconds": 60}, HELLO, kind="STANDARD", timeout=1)
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]

    def status() -> str:
        found: str = client.describe_execution(executionArn=execution)["status"]
        return "" if found == "RUNNING" else found

    assert eventually(status) == "TIMED_OUT"


@pytest.mark.parametrize("resource", ["lambda:invoke.waitForTaskToken", "states:startExecution.sync:2"])
def test_tasks_that_wait_are_refused_in_a_definition(local_aws: LocalAws, resource: str) -> None:
    task = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True}
    client = local_aws.client("stepfunctions")
    given = {"roleArn": Functions(local_aws).role(service="states.amazonaws.com"), "name": "waits"}
    nested = {"Type": "Parallel", "Branches": [definition(task)], "End": True}
    refused = code(
        client.create_state_machine, definition=json.dumps(definition(nested)), type="EXPRESS", **given
    )
    assert refused == "InvalidDefinition"
    properties = {"StateMachineType": "EXPRESS", "RoleArn": arn("Role"), "Definition": definition(nested)}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    with pytest.raises(DeploymentFailedError, match="Express state machine does not support"):
        deploy(local_aws, {"Role": role(service="states.amazonaws.com"), "Machine": machine})


def test_executions_are_counted(local_aws: LocalAws) -> None:
    machine = make(local_aws, FAIL)
    start(local_aws, machine)
    listed = local_aws.client("cloudwatch").list_metrics(
        Namespace="AWS/States", Dimensions=[{"Name": "StateMachineArn", "Value": machine}]
    )
    names = {metric["MetricName"] for metric in listed["Metrics"]}
    assert names == {"ExecutionsStarted", "ExecutionsFailed", "ExecutionTime"}


# --- Functions


def test_errors_of_functions_are_named_as_aws_names_them(functions: Functions) -> None:
    source = """
import os
class StockBusy(Exception): ...
def handler(event, context):
    if event["attempt"] < event["busy"]:
        raise StockBusy("wait")
    if event["busy"] < 0:
        os._exit(3)
    return event["attempt"]
"""
    aws, name = functions.aws, functions.make(source)
    function = functions.arn("lambda", f"function:{name}")
    allowed = functions.role(("lambda:InvokeFunction", function), service="states.amazonaws.com")
    payload = {"attempt.$": "$$.State.RetryCount", "busy.$": "$.busy"}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, "Payload": payload},
        "Retry": [{"ErrorEquals": ["StockBusy"], "MaxAttempts": 2, "IntervalSeconds": 1}],
        "End": True,
    }
    machine = make(aws, task, roleArn=allowed)
    assert json.loads(start(aws, machine, {"busy": 2})["output"])["Payload"] == 2
    answer = start(aws, machine, {"busy": 3})
    assert (answer["error"], json.loads(answer["cause"])["errorMessage"]) == ("StockBusy", "wait")
    assert start(aws, machine, {"busy": -1})["error"] == "Runtime.ExitError"
    aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    answer = start(aws, machine, {"busy": 0})
    assert answer["error"] == "Lambda.TooManyRequestsException"
    assert answer["cause"].startswith("Rate Exceeded. (Service: Lambda, Status Code: 429")


# --- Logs


def logging(aws: LocalAws, level: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """A log group, and settings that use it."""
    group = f"/aws/vendedlogs/states/{uuid.uuid4().hex[:8]}"
    aws.client("logs").create_log_group(logGroupName=group)
    destination = f"arn:aws:logs:{aws.region}:{aws.account}:log-group:{group}:*"
    destinations = [{"cloudWatchLogsLogGroup": {"logGroupArn": destination}}]
    return group, {"level": level, "destinations": destinations, **more}


def logged(aws: LocalAws, group: str) -> list[dict[str, Any]]:
    events = aws.client("logs").filter_log_events(logGroupName=group)["events"]
    return [json.loads(event["message"]) for event in events]


def delivering(aws: LocalAws, *left_out: str) -> str:
    actions = [(action, "*") for action in DELIVERY if action not in left_out]
    return Functions(aws).role(*actions, service="states.amazonaws.com")


@pytest.mark.parametrize(
    ("level", "types"),
    [
        ("ALL", ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"]),
        ("ERROR", ["FailStateEntered", "ExecutionFailed"]),
        ("FATAL", ["ExecutionFailed"]),
        ("OFF", []),
    ],
)
def test_the_level_selects_events(local_aws: LocalAws, level: str, types: list[str]) -> None:
    group, settings = logging(local_aws, level)
    machine = make(local_aws, FAIL, roleArn=delivering(local_aws), loggingConfiguration=settings)
    answer = start(local_aws, machine)
    lines = logged(local_aws, group)
    assert [line["type"] for line in lines] == types
    if lines:
        last = lines[-1]
        assert {**last, "event_timestamp": ""} == {
            "id": "3",
            "type": "ExecutionFailed",
            "details": {"error": "OutOfStock", "cause": "none left"},
            "previous_event_id": "2",
            "event_timestamp": "",
            "execution_arn": answer["executionArn"],
        }
        assert len(last["event_timestamp"]) == 13


@pytest.mark.parametrize("included", [False, True])
def test_data_is_logged_only_if_it_is_included(local_aws: LocalAws, included: bool) -> None:
    group, settings = logging(local_aws, "ALL", includeExecutionData=included)
    machine = make(local_aws, HELLO, roleArn=delivering(local_aws), loggingConfiguration=settings)
    start(local_aws, machine, {"secret": 42})
    lines = logged(local_aws, group)
    data = {"output": '{"hello": "world"}', "outputDetails": {"truncated": False}} if included else {}
    assert lines[-1]["details"] == data
    assert any("secret" in json.dumps(line) for line in lines) is included


def test_the_role_must_allow_the_delivery_of_logs(local_aws: LocalAws) -> None:
    _, settings = logging(local_aws, "ALL")
    create = local_aws.client("stepfunctions").create_state_machine
    given = {"name": "logs", "definition": json.dumps(definition(HELLO)), "loggingConfiguration": settings}
    without = delivering(local_aws, "logs:PutResourcePolicy")
    assert code(create, **given, roleArn=without) == "AccessDeniedException"
    machine = create(**given, roleArn=delivering(local_aws))["stateMachineArn"]
    update = local_aws.client("stepfunctions").update_state_machine
    assert code(update, stateMachineArn=machine, roleArn=without) == "AccessDeniedException"
    gone = {**settings, "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:x"}}]}
    assert code(update, stateMachineArn=machine, loggingConfiguration=gone) == "InvalidLoggingConfiguration"


def test_a_template_stores_the_settings_as_the_api_does(local_aws: LocalAws) -> None:
    allowed = role(*[(action, "*") for action in DELIVERY], service="states.amazonaws.com")
    properties = {
        "StateMachineType": "EXPRESS",
        "RoleArn": arn("Role"),
        "Definition": definition(HELLO),
        "LoggingConfiguration": {
            "Level": "ALL",
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn("Group")}}],
        },
        "TracingConfiguration": {"Enabled": True},
    }
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    resources = {"Role": allowed, "Group": {"Type": "AWS::Logs::LogGroup"}, "Machine": machine}
    made = deploy(local_aws, resources, {"Arn": ref("Machine"), "Group": ref("Group")}).outputs
    described = local_aws.client("stepfunctions").describe_state_machine(stateMachineArn=made["Arn"])
    assert described["tracingConfiguration"] == {"enabled": True}
    assert described["loggingConfiguration"]["level"] == "ALL"
    start(local_aws, made["Arn"])
    assert logged(local_aws, made["Group"])[-1]["type"] == "ExecutionSucceeded"
    assert any("TracingConfiguration" in str(one) for one in local_aws.dropped_properties())


def test_still_needed_the_emulator_runs_standard_workflows_and_logs_nothing(stock_aws: LocalAws) -> None:
    group, settings = logging(stock_aws, "ALL")
    machine = make(stock_aws, HELLO, kind="STANDARD", loggingConfiguration=settings)
    assert start(stock_aws, machine)["status"] == "SUCCEEDED"
    assert logged(stock_aws, group) == []
