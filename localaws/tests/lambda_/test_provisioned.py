"""Provisioned concurrency of versions and aliases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Hold, eventually
from helpers.stacks import deploy, function, ref, role

pytestmark = pytest.mark.local

SOURCE = """
import os

def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


def published(functions: Functions) -> str:
    """A function with version 1 behind the alias `live`."""
    client, name = functions.aws.client("lambda"), functions.make(SOURCE)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return name


def put(functions: Functions, name: str, qualifier: str, count: int = 2) -> None:
    """Configure provisioned concurrency."""
    functions.aws.client("lambda").put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    eventually(lambda: status(functions, name, qualifier)["Status"] == "READY")


def status(functions: Functions, name: str, qualifier: str) -> dict[str, Any]:
    """The configuration."""
    client = functions.aws.client("lambda")
    return dict(client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier))


def test_an_alias_has_it_and_its_version_sees_it(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    assert functions.invoke(name, qualifier="1").payload == "on-demand"
    client.update_function_configuration(FunctionName=name, Description="changed")
    client.publish_version(FunctionName=name)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    put(functions, name, "live")
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert found["RequestedProvisionedConcurrentExecutions"] == 2
    assert functions.invoke(name, qualifier="live").payload == "provisioned-concurrency"
    assert functions.invoke(name).payload == "on-demand"
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_an_unpublished_version_cannot_have_it(functions: Functions) -> None:
    name = published(functions)
    functions.aws.client("lambda").create_alias(FunctionName=name, Name="latest", FunctionVersion="$LATEST")
    for qualifier in ("$LATEST", "latest"):
        with pytest.raises(ClientError, match="cannot be applied to unpublished function versions"):
            put(functions, name, qualifier)


def test_an_alias_and_its_version_cannot_both_have_it(functions: Functions) -> None:
    name = published(functions)
    put(functions, name, "1")
    with pytest.raises(ClientError, match="on an already Provisioned version"):
        put(functions, name, "live")
    put(functions, name, "1", 3)  # a new number for the same one


def test_the_configurations_of_a_function_are_listed(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")

    def listed() -> list[Any]:
        found = client.list_provisioned_concurrency_configs(FunctionName=name)
        return list(found["ProvisionedConcurrencyConfigs"])

    assert listed() == []
    put(functions, name, "live", 2)
    (found,) = listed()
    assert found["FunctionArn"].endswith(f":function:{name}:live")
    assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_provisioned_concurrency_configs(FunctionName="nothing")


def test_there_is_no_more_than_is_reserved_for_the_function(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    with pytest.raises(ClientError, match="should not be greater than the reservedConcurrentExecution"):
        put(functions, name, "live", 3)
    put(functions, name, "live", 2)


def test_no_less_can_be_reserved_than_is_provisioned(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    put(functions, name, "live", 2)
    with pytest.raises(ClientError, match=r"should not be lower than function's total provisioned .* \[2\]"):
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)


@pytest.mark.localaws(account_concurrency=105)
def test_a_hundred_executions_of_the_account_stay_unreserved(functions: Functions) -> None:
    functions.aws.reset()
    name, other, client = published(functions), published(functions), functions.aws.client("lambda")
    put(functions, name, "live", 3)
    with pytest.raises(ClientError, match=r"Specified ConcurrentExecutions for .* minimum value of \[100\]"):
        put(functions, other, "live", 3)
    with pytest.raises(ClientError, match=r"Specified ReservedConcurrentExecutions .* value of \[100\]"):
        client.put_function_concurrency(FunctionName=other, ReservedConcurrentExecutions=3)
    client.put_function_concurrency(FunctionName=other, ReservedConcurrentExecutions=2)
    limit = client.get_account_settings()["AccountLimit"]
    assert (limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]) == (105, 103)


def test_code_outside_the_handler_runs_once_and_in_advance_and_more_calls_spill_over(
    functions: Functions, hold: Hold
) -> None:
    source = f"""{hold.source}
import os
kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
(pathlib.Path({str(hold.folder)!r}) / f"{{kind}} {{uuid.uuid4().hex}}").touch()
def handler(event, context):
    hold()
    return kind
"""
    name, client = functions.make(source), functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    put(functions, name, "1", 1)

    def kinds() -> list[str]:
        return sorted(mark.name.split()[0] for mark in hold.folder.glob("* *"))

    assert kinds() == ["provisioned-concurrency"]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(functions.invoke, name, qualifier="1")
        hold.wait(2)  # with the mark of its environment
        second = pool.submit(functions.invoke, name, qualifier="1")
        hold.wait(4)
        hold.release()
    assert (first.result().payload, second.result().payload) == ("provisioned-concurrency", "on-demand")
    assert functions.invoke(name, qualifier="1").payload == "provisioned-concurrency"
    assert kinds() == ["on-demand", "provisioned-concurrency"]

    def values(metric: str) -> list[float]:
        return maximum_and_sum(functions, metric, FunctionName=name, Resource=f"{name}:1")

    assert values("ProvisionedConcurrencyInvocations")[1] == 2
    assert values("ProvisionedConcurrencySpilloverInvocations")[1] == 1
    assert values("ProvisionedConcurrencyUtilization")[0] == 1
    assert values("ProvisionedConcurrentExecutions")[0] == 1
    assert values("ConcurrentExecutions")[0] == 2
    assert maximum_and_sum(functions, "ConcurrentExecutions", FunctionName=name)[0] == 2


def maximum_and_sum(functions: Functions, metric: str, **dimensions: str) -> list[float]:
    """The largest value of a metric in the last minutes, and the sum of its values."""
    now = datetime.now(UTC)
    (point,) = functions.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=86_400 * 365,
        Statistics=["Maximum", "Sum"],
    )["Datapoints"]
    return [float(point["Maximum"]), float(point["Sum"])]


def test_the_first_report_of_an_environment_has_its_initialization(functions: Functions) -> None:
    name, logs = published(functions), functions.aws.client("logs")
    put(functions, name, "live", 1)
    for qualifier in ("live", "live", "$LATEST", "$LATEST"):
        functions.invoke(name, qualifier=qualifier)
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="REPORT")["events"]
    assert ["Init Duration: " in one["message"] for one in found] == [True, False, True, False]


def test_it_fails_when_the_code_outside_the_handler_does(functions: Functions) -> None:
    name, client = functions.make("raise RuntimeError('no table')"), functions.aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    eventually(lambda: status(functions, name, "1")["Status"] == "FAILED")
    assert status(functions, name, "1")["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert status(functions, name, "1")["AvailableProvisionedConcurrentExecutions"] == 0


@pytest.mark.localaws(account_concurrency=2)
def test_a_noisy_function_starves_its_neighbour(functions: Functions, hold: Hold) -> None:
    functions.aws.reset()
    noisy = functions.make(f"{hold.source}\ndef handler(event, context): hold()")
    neighbour = published(functions)
    once = functions.aws.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(functions.invoke, noisy) for _ in range(2)]
        hold.wait(2)
        with pytest.raises(once.exceptions.TooManyRequestsException) as refused:
            once.invoke(FunctionName=neighbour)
        functions.send(neighbour)  # waits in the queue
        hold.release()
        assert [one.result().error for one in running] == [None, None]
    assert refused.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert refused.value.response["Error"]["Message"] == "Rate Exceeded."
    eventually(lambda: sampled(functions, "Invocations", FunctionName=neighbour))
    assert maximum_and_sum(functions, "UnreservedConcurrentExecutions")[0] >= 2
    assert maximum_and_sum(functions, "ConcurrentExecutions")[0] >= 2


def sampled(functions: Functions, metric: str, **dimensions: str) -> bool:
    """Whether a metric has values."""
    listed = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    found = functions.aws.client("cloudwatch").list_metrics(MetricName=metric, Dimensions=listed)
    return bool(found["Metrics"])


def test_a_fault_uses_the_executions_that_no_function_has_reserved_or_provisioned(
    functions: Functions,
) -> None:
    functions.aws.reset()
    name, reserving, client = published(functions), published(functions), functions.aws.client("lambda")
    put(functions, name, "live", 2)
    client.put_function_concurrency(FunctionName=reserving, ReservedConcurrentExecutions=3)
    once = functions.aws.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    with functions.aws.faults.concurrency(1000 - 2 - 3 - 1):
        assert functions.invoke(name).payload == "on-demand"
    with functions.aws.faults.concurrency(1000 - 2 - 3):
        with pytest.raises(once.exceptions.TooManyRequestsException):
            once.invoke(FunctionName=name)
        assert functions.invoke(name, qualifier="live").payload == "provisioned-concurrency"
        assert functions.invoke(reserving).payload == "on-demand"
    with pytest.raises(ValueError, match="give a number from 1"):
        functions.aws.faults.concurrency(0)


def test_a_template_gives_it_to_an_alias(functions: Functions) -> None:
    resources = {
        "Role": role(),
        "Function": function("Role", SOURCE),
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": ref("Function")}},
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "FunctionName": ref("Function"),
                "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                "Name": "live",
                "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
            },
        },
    }
    stack = deploy(functions.aws, resources, {"Function": ref("Function")})
    name = stack.outputs["Function"]
    assert functions.invoke(name, qualifier="live").payload == "provisioned-concurrency"
    without = {
        **resources,
        "Alias": {**resources["Alias"], "Properties": dict(resources["Alias"]["Properties"])},
    }
    del without["Alias"]["Properties"]["ProvisionedConcurrencyConfig"]
    stack.update(without)
    client = functions.aws.client("lambda")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_still_needed_the_emulator_accepts_it_for_anything_and_functions_do_not_see_it(
    stock_functions: Functions,
) -> None:
    name = published(stock_functions)
    put(stock_functions, name, "$LATEST")
    put(stock_functions, name, "live")
    source = "import os\ndef handler(event, context): return os.environ.get('AWS_LAMBDA_INITIALIZATION_TYPE')"
    other = stock_functions.make(source)
    stock_functions.aws.client("lambda").publish_version(FunctionName=other)
    put(stock_functions, other, "1")
    assert stock_functions.invoke(other, qualifier="1").payload != "provisioned-concurrency"
