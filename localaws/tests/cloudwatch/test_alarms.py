"""Alarms are evaluated on a schedule."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import DeploymentFailedError, Resources, arn, deploy, ref
from localaws import LocalAws
from localaws.services.cloudwatch.alarms import next_tick

pytestmark = pytest.mark.local

NAMESPACE = "Tests"
# Ten seconds take a third of a second here, and are evaluated that often.
SETTINGS: dict[str, Any] = {
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "EvaluationPeriods": 1,
}
FAILING = "def handler(event, context): raise RuntimeError('broken')"


class Alarms:
    """Creates alarms on new metrics."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.client = aws.client("cloudwatch")
        self._seen: Counter[str] = Counter()

    def put(self, metric: str, **settings: Any) -> str:
        """An alarm; returns its name."""
        name = f"alarm-{uuid.uuid4().hex[:8]}"
        one_metric = {"Namespace": NAMESPACE, "MetricName": metric, "Statistic": "Sum", "Period": 10}
        given = SETTINGS | ({} if "Metrics" in settings else one_metric) | settings
        self.client.put_metric_alarm(
            AlarmName=name, **{key: value for key, value in given.items() if value is not None}
        )
        return name

    def add(self, metric: str, *values: float, ages: Sequence[float] = (0,), **dimensions: str) -> None:
        """Put data, which are some seconds old."""
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        data = [
            {"MetricName": metric, "Value": value, "Dimensions": named}
            | ({"Timestamp": time.time() - age} if age else {})
            for value in values
            for age in ages
        ]
        self.client.put_metric_data(Namespace=NAMESPACE, MetricData=data)

    def describe(self, name: str) -> dict[str, Any]:
        """A metric alarm or composite alarm."""
        found = self.client.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        described: dict[str, Any] = [*found["MetricAlarms"], *found["CompositeAlarms"]][0]
        return described

    def state(self, name: str) -> str:
        """The current state."""
        return str(self.describe(name)["StateValue"])

    def wait(self, name: str, state: str) -> str:
        """Wait until an alarm has changed to a state since the last wait; return why.

        It looks at the history: a state lasts for less than a second, and is easily missed on a busy machine.
        """

        def reason() -> str:
            for number, changed in enumerate(self._changes(name)[self._seen[name] :], 1):
                if changed["stateValue"] == state:
                    self._seen[name] += number
                    return str(changed["stateReason"])
            return ""

        return eventually(reason)

    def states(self, name: str) -> list[str]:
        """The states that an alarm has had."""
        return [changed["stateValue"] for changed in self._changes(name)]

    def _changes(self, name: str) -> list[dict[str, Any]]:
        found = self.client.describe_alarm_history(
            AlarmName=name, AlarmTypes=["MetricAlarm", "CompositeAlarm"], ScanBy="TimestampAscending"
        )
        return [json.loads(item["HistoryData"])["newState"] for item in found["AlarmHistoryItems"]]


@pytest.fixture
def alarms(local_aws: LocalAws) -> Alarms:
    """Alarms on the embedded AWS."""
    return Alarms(local_aws)


@pytest.fixture
def metric() -> str:
    """The name of a metric that has no data."""
    return f"metric-{uuid.uuid4().hex[:8]}"


def query(name: str, metric: str, **more: Any) -> dict[str, Any]:
    """A metric for an expression."""
    stat = {"Metric": {"Namespace": NAMESPACE, "MetricName": metric}, "Period": 10, "Stat": "Sum"}
    return {"Id": name, "ReturnData": False, "MetricStat": stat | more}


def expression(text: str) -> dict[str, Any]:
    """The metric of the alarm."""
    return {"Id": "result", "Expression": text, "ReturnData": True}


# --- Time


def test_an_alarm_fires_and_recovers_on_schedule(alarms: Alarms, metric: str) -> None:
    name = alarms.put(metric, TreatMissingData="notBreaching")
    assert alarms.wait(name, "OK").endswith("1 missing datapoints were treated as notBreaching.")
    alarms.add(metric, 2, 3)
    assert alarms.wait(name, "ALARM").startswith("Threshold Crossed: [5]")
    alarms.wait(name, "OK")


def test_an_alarm_on_a_function_fires_only_for_its_errors(functions: Functions, alarms: Alarms) -> None:
    names = [functions.make(FAILING), functions.make("def handler(event, context): pass")]
    of_each = [
        alarms.put(
            "Errors",
            Namespace="AWS/Lambda",
            Period=60,
            Threshold=1,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            TreatMissingData="notBreaching",
        )
        for name in names
    ]
    for name, named in zip(names, of_each, strict=True):
        alarms.wait(named, "OK")
        functions.invoke(name)
    alarms.wait(of_each[0], "ALARM")
    assert "ALARM" not in alarms.states(of_each[1])


def test_a_period_of_a_minute_looks_at_two_seconds(alarms: Alarms, metric: str) -> None:
    name = alarms.put(metric, Period=60)
    alarms.add(metric, 5)
    alarms.wait(name, "ALARM")
    began = time.monotonic()
    alarms.wait(name, "INSUFFICIENT_DATA")  # after two more evaluations: the data of three periods count
    assert 2 < time.monotonic() - began < 60


def test_an_evaluation_that_a_busy_machine_missed_is_made_up_for() -> None:
    assert [next_tick(7, now) for now in (7.2, 8.4, 11.9)] == [8, 8, 8]
    assert next_tick(7, 10_000.5) == 9_940  # not after a laptop slept


def test_a_new_alarm_has_insufficient_data_and_a_state_that_is_set_holds_until_the_next_evaluation(
    alarms: Alarms, metric: str
) -> None:
    settings: dict[str, Any] = {"Period": 60, "TreatMissingData": "notBreaching"}
    alarms.wait(alarms.put(metric, **settings), "OK")  # now the next evaluation is two seconds away
    name = alarms.put(metric, **settings)
    assert alarms.describe(name)["StateReason"] == "Unchecked: Initial alarm creation"
    alarms.wait(name, "OK")
    alarms.client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a rehearsal")
    assert alarms.wait(name, "ALARM") == "a rehearsal"
    alarms.wait(name, "OK")


def test_two_of_three_datapoints_suffice_if_datapoints_to_alarm_is_two(alarms: Alarms, metric: str) -> None:
    one, two = (
        alarms.put(
            metric, EvaluationPeriods=3, DatapointsToAlarm=needed, TreatMissingData="notBreaching", Period=20
        )
        for needed in (1, 2)
    )
    alarms.add(metric, 9)
    alarms.wait(one, "ALARM")
    assert "ALARM" not in alarms.states(two)
    alarms.add(metric, 9, ages=(0.1, 0.8))  # in two periods, each of two thirds of a second
    alarms.wait(two, "ALARM")


def test_a_percentile_is_of_all_values_of_the_period(alarms: Alarms, metric: str) -> None:
    settings = {"Statistic": None, "TreatMissingData": "notBreaching", "Threshold": 90.0}
    high = alarms.put(metric, ExtendedStatistic="p99", **settings)
    low = alarms.put(metric, ExtendedStatistic="p50", **settings)
    alarms.wait(low, "OK")
    alarms.add(metric, *[float(value) for value in range(1, 101)])
    alarms.wait(high, "ALARM")
    assert "ALARM" not in alarms.states(low)


def test_the_change_of_a_state_reaches_a_topic_unless_actions_are_off(
    alarms: Alarms, functions: Functions, metric: str
) -> None:
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue)
    settings = {"TreatMissingData": "notBreaching", "AlarmActions": [topic]}
    silent = alarms.put(metric, ActionsEnabled=False, **settings)
    name = alarms.put(metric, **settings)
    alarms.add(metric, 9)
    message = queue.wait_for_body()
    assert (message["AlarmName"], message["NewStateValue"]) == (name, "ALARM")
    alarms.wait(silent, "ALARM")
    assert queue.receive() == []


def notified(aws: LocalAws, topic: str) -> str:
    """Set the state of a new alarm that notifies a topic; returns what its history says of failed actions."""
    cloudwatch, name = aws.client("cloudwatch"), f"alarm-{uuid.uuid4().hex[:8]}"
    settings = {"Namespace": NAMESPACE, "MetricName": "none", "Statistic": "Sum", "Period": 60}
    cloudwatch.put_metric_alarm(AlarmName=name, AlarmActions=[topic], **SETTINGS, **settings)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    items = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="Action")["AlarmHistoryItems"]
    cloudwatch.delete_alarms(AlarmNames=[name])
    return " ".join(item["HistorySummary"] for item in items)


def allowing_cloudwatch(actions: list[str], account: str) -> str:
    """A resource policy for alarms of an account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": actions,
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceAccount": account}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(("account", "refused"), [("123456789012", ""), ("999999999999", "SNS:Publish")])
def test_an_alarm_notifies_a_topic_only_if_its_policy_allows_it(
    local_aws: LocalAws, account: str, refused: str
) -> None:
    sns = local_aws.client("sns")
    topic = sns.create_topic(Name=f"topic-{uuid.uuid4().hex[:8]}")["TopicArn"]
    policy = allowing_cloudwatch(["sns:Publish"], account)
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    assert refused in notified(local_aws, topic)
    assert bool(refused) == bool(notified(local_aws, topic))


@pytest.mark.parametrize(
    ("actions", "refused"),
    [
        (["kms:Decrypt", "kms:GenerateDataKey"], False),
        (["kms:Decrypt", "kms:GenerateDataKey*"], False),
        (["kms:Decrypt"], True),
        (None, True),  # the key that AWS manages
    ],
)
def test_an_alarm_notifies_an_encrypted_topic_only_if_the_key_may_be_used(
    local_aws: LocalAws, actions: list[str] | None, refused: bool
) -> None:
    key = "alias/aws/sns"
    if actions is not None:
        policy = allowing_cloudwatch(actions, "123456789012")
        key = local_aws.client("kms").create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)[
            "KeyMetadata"
        ]["Arn"]
    sns = local_aws.client("sns")
    name = f"topic-{uuid.uuid4().hex[:8]}"
    topic = sns.create_topic(Name=name, Attributes={"KmsMasterKeyId": key})["TopicArn"]
    assert ("encryption key" in notified(local_aws, topic)) is refused


# --- Metric math


def test_an_alarm_watches_an_expression(alarms: Alarms, metric: str) -> None:
    metrics = [query("errors", metric), query("calls", f"{metric}-calls"), expression("100 * errors / calls")]
    name = alarms.put(metric, Metrics=metrics, Threshold=50, TreatMissingData="notBreaching")
    described = alarms.describe(name)
    assert described["Metrics"] == metrics
    assert "MetricName" not in described
    assert "Period" not in described
    alarms.wait(name, "OK")
    alarms.add(f"{metric}-calls", 10)
    alarms.add(metric, 6)
    assert alarms.wait(name, "ALARM").startswith("Threshold Crossed: [60]")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"Metrics": [query("m", "x"), expression("RATE(m)")]}, "the function RATE is not emulated"),
        ({"Metrics": [query("m", "x"), expression("SUM(m)")]}, "result gives a number"),
        ({"Metrics": [query("m", "x"), query("n", "x")]}, "One of Metrics must have ReturnData"),
        ({"Metrics": [query("M", "x"), expression("m")]}, "The id 'M' must start with a lowercase letter"),
        (
            {"Metrics": [query("m", "x"), query("n", "x", Period=60), expression("m")]},
            "must have the same period",
        ),
        ({"Metrics": [query("m", "x"), expression("result + 1")]}, "refer to each other"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "ComparisonOperator is"),
        ({"TreatMissingData": "never"}, "TreatMissingData is 'never'"),
        ({"DatapointsToAlarm": 2}, "it must be from 1 to EvaluationPeriods (1)"),
        ({"Period": 61}, "Period is 61; it must be 10, 20, 30 or a multiple of 60"),
        ({"Period": 3000, "EvaluationPeriods": 30}, "at most 86400 s"),
        ({"Statistic": None, "ExtendedStatistic": "tm90"}, "The statistic 'tm90' is not emulated"),
        ({"Statistic": None}, "Give either Statistic or ExtendedStatistic"),
        ({"Threshold": None}, "Threshold is missing"),
    ],
)
def test_settings_that_make_no_alarm_are_refused(
    alarms: Alarms, metric: str, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ClientError) as refused:
        alarms.put(metric, **settings)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert problem in str(refused.value)


def test_get_metric_data_computes_for_the_time_on_the_clock(alarms: Alarms, metric: str) -> None:
    alarms.add(metric, 1, 2)
    alarms.add(metric, 40, Version="2")
    now = datetime.now(UTC)
    by_version = query("of_version", metric)
    by_version["MetricStat"]["Metric"] |= {"Dimensions": [{"Name": "Version", "Value": "2"}]}
    whole = query("whole", metric) | {"ReturnData": True}
    queries = [by_version, whole, expression("FILL(of_version, 0) + 2")]
    for each in (by_version, whole):
        each["MetricStat"]["Period"] = 60
    results = alarms.client.get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(minutes=2), EndTime=now + timedelta(minutes=1)
    )["MetricDataResults"]
    assert [result["Id"] for result in results] == ["whole", "result"]
    assert results[0]["Values"] == [3]
    assert sorted(results[1]["Values"])[-1] == 42
    assert results[1]["Values"].count(2) >= 2
    assert results[1]["Timestamps"] == sorted(results[1]["Timestamps"], reverse=True)


# --- Templates


def alarm(metric: str, **properties: Any) -> dict[str, Any]:
    """An alarm in a template."""
    given = SETTINGS | {"Namespace": NAMESPACE, "MetricName": metric, "Statistic": "Sum", "Period": 10}
    given |= {"TreatMissingData": "notBreaching"} | properties
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {key: value for key, value in given.items() if value is not None},
    }


def composite(rule: Any, **properties: Any) -> dict[str, Any]:
    """A composite alarm in a template."""
    return {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": rule} | properties}


OUTPUTS = {name: ref(name) for name in ("Errors", "Slow", "Both")}


def two_and_both(metric: str, rule: str) -> Resources:
    """Two alarms and a composite alarm on them."""
    metrics = [query("m", f"{metric}-slow"), expression("m * 2")]
    one_metric = dict.fromkeys(("MetricName", "Namespace", "Statistic", "Period"))
    return {
        "Errors": alarm(metric),
        "Slow": alarm(metric, **one_metric, Metrics=metrics),
        "Both": composite({"Fn::Sub": rule}),
    }


def test_a_composite_alarm_of_a_template_follows_its_alarms(alarms: Alarms, metric: str) -> None:
    rule = 'ALARM("${Errors}") AND NOT (OK("${Slow}") OR FALSE)'
    stack = deploy(alarms.aws, two_and_both(metric, rule), OUTPUTS)
    errors, slow, both = (stack.outputs[name] for name in ("Errors", "Slow", "Both"))
    alarms.wait(slow, "OK")
    alarms.add(metric, 9)
    alarms.wait(errors, "ALARM")
    assert "ALARM" not in alarms.states(both)
    # Of the same time, or one alarm might be over before the other one.
    alarms.client.put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[{"MetricName": name, "Value": 9} for name in (metric, f"{metric}-slow")],
    )
    alarms.wait(both, "ALARM")
    alarms.wait(both, "OK")

    changed = two_and_both(metric, 'ALARM("${Errors}")') | {"Errors": alarm(metric, Threshold="100")}
    stack.update(changed, OUTPUTS)
    assert alarms.describe(errors)["Threshold"] == 100
    assert alarms.describe(both)["AlarmRule"] == f'ALARM("{errors}")'
    stack.delete()
    found = alarms.client.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    names = {each["AlarmName"] for each in [*found["MetricAlarms"], *found["CompositeAlarms"]]}
    assert names.isdisjoint({errors, slow, both})


def test_a_composite_alarm_with_a_new_name_replaces_the_old_one(alarms: Alarms, metric: str) -> None:
    first, second = (f"both-{metric}-{number}" for number in "12")
    stack = deploy(alarms.aws, {"Both": composite("TRUE", AlarmName=first)}, {"Arn": arn("Both")})
    assert stack.outputs["Arn"].endswith(f":alarm:{first}")
    assert alarms.state(first) == "ALARM"
    stack.update({"Both": composite("TRUE", AlarmName=second, AlarmDescription="new")})
    assert alarms.describe(second)["AlarmDescription"] == "new"
    found = alarms.client.describe_alarms(AlarmNames=[first], AlarmTypes=["CompositeAlarm"])
    assert found["CompositeAlarms"] == []


def test_a_template_with_settings_that_make_no_alarm_is_refused(alarms: Alarms, metric: str) -> None:
    with pytest.raises(DeploymentFailedError, match="AWS::CloudWatch::Alarm: Period is 7; it must be 10"):
        deploy(alarms.aws, {"Errors": alarm(metric, Period=7)})
    with pytest.raises(DeploymentFailedError, match="Error in AlarmRule"):
        deploy(alarms.aws, {"Both": composite("ALARM(")})


# --- Why the bridges are needed


def test_still_needed_the_stock_emulator_does_not_look_while_nothing_is_put(
    stock_functions: Functions,
) -> None:
    alarms = Alarms(stock_functions.aws)
    function = stock_functions.make(FAILING)
    dimensions = [{"Name": "FunctionName", "Value": function}]
    name = alarms.put("Errors", Namespace="AWS/Lambda", Threshold=1, Dimensions=dimensions)
    stock_functions.invoke(function)
    time.sleep(1)  # an evaluation that must not happen: a busy machine would make it late
    assert alarms.state(name) == "INSUFFICIENT_DATA"


def test_still_needed_the_stock_emulator_mixes_dimensions_and_computes_nothing(
    stock_aws: LocalAws, metric: str
) -> None:
    alarms = Alarms(stock_aws)
    of_other = alarms.put(metric, Dimensions=[{"Name": "Version", "Value": "1"}])
    alarms.add(metric, 9, Version="2")
    assert alarms.state(of_other) == "ALARM"
    now = datetime.now(UTC)
    answer = alarms.client.get_metric_data(
        MetricDataQueries=[query("m", metric), expression("m + 1")],
        StartTime=now - timedelta(minutes=2),
        EndTime=now + timedelta(minutes=1),
    )
    assert answer["MetricDataResults"][0]["Messages"][0]["Value"] == "Expressions not implemented"


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (composite("TRUE"), "CompositeAlarm"),
        (alarm("x", MetricName=None, Metrics=[query("m", "x")]), "metric math"),
    ],
)
def test_still_needed_the_stock_emulator_refuses_alarms_of_templates(
    stock_aws: LocalAws, resource: dict[str, Any], reason: str
) -> None:
    with pytest.raises((DeploymentFailedError, ClientError), match=reason):
        deploy(stock_aws, {"Alarm": resource})
