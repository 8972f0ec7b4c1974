"""Which alarms, widgets and queries a construct gets, found by what it exposes."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.assertions import Annotations, Match, Template
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, HardenedFunction
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from cdk_lambda_patterns.observability.monitoring import Alarms, Monitoring, dashboard
from cdk_lambda_patterns.observability.monitoring.queries import QUERIES
from localaws.services.logs.insights import Query, fields_of
from tasks.synthesis import app_context
from tests.templates import Resources

CODE = lambda_.Code.from_inline("def handler(event, context): return event")


def function(scope: Construct, id: str = "Function", **arguments: Any) -> lambda_.Function:
    """A plain function."""
    runtime = lambda_.Runtime.PYTHON_3_14
    return lambda_.Function(scope, id, code=CODE, handler="index.handler", runtime=runtime, **arguments)


def new_stack(**arguments: Any) -> Stack:
    """A stack of its own app."""
    return Stack(App(context=app_context(), builtin_cloud_formation_validation=False), "Shop", **arguments)


def resources(stack: Stack) -> Resources:
    """The resources of a stack."""
    return Resources(dict(Template.from_stack(stack).to_json()))


def body_of(stack: Stack) -> str:
    """The body of the dashboard, with what is known at deployment as JSON in it."""
    return json.dumps(resources(stack).only("AWS::CloudWatch::Dashboard")["DashboardBody"])


def test_functions_that_the_cdk_makes_are_not_monitored() -> None:
    stack = new_stack()
    bucket = s3.Bucket(stack, "Bucket", auto_delete_objects=False, event_bridge_enabled=True)
    mine = HardenedFunction(stack, "Mine", code=CODE, handler="index.handler")
    monitoring = Monitoring(stack, "Monitoring", patterns=[stack], alarms=Alarms())
    made = [one for one in resources(stack).all("AWS::Lambda::Function").values() if bucket.node.id]
    assert len(made) == 2, "there should be one of the CDK"
    assert {name.partition(":")[0] for name in monitoring.alarms} == {mine.node.id}


def test_an_alias_has_its_own_metrics_and_its_function_the_concurrency() -> None:
    stack = new_stack()
    alias = function(stack, timeout=Duration.seconds(10)).add_alias("live")
    monitoring = Monitoring(stack, "Monitoring", patterns=[alias], alarms=Alarms())
    assert {*monitoring.alarms} == {f"Function/Aliaslive: {k}" for k in ("Errors", "Throttles", "Duration")}
    alarms = resources(stack).all("AWS::CloudWatch::Alarm").values()
    [duration] = [one for one in alarms if one["Threshold"] == 8000]
    dimensions = duration["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"]
    assert [one["Name"] for one in dimensions] == ["FunctionName", "Resource"]
    concurrency = re.search(r'ConcurrentExecutions.*?\{\\"label', body_of(stack))
    assert concurrency is not None
    assert "Resource" not in concurrency[0]


def test_imported_resources_are_monitored_as_far_as_they_are_known() -> None:
    stack = new_stack(env=Environment(account="123456789012", region="eu-west-1"))
    arn = "arn:aws:{}:eu-west-1:123456789012:{}".format
    balancer = elbv2.ApplicationLoadBalancer.from_application_load_balancer_attributes(
        stack,
        "Balancer",
        load_balancer_arn=arn("elasticloadbalancing", "loadbalancer/app/theirs/50dc6c495c0c9188"),
        security_group_id="sg-0",
    )
    monitoring = Monitoring(
        stack,
        "Monitoring",
        patterns=[
            lambda_.Function.from_function_name(stack, "F", "theirs"),
            sqs.Queue.from_queue_arn(stack, "Q", arn("sqs", "theirs")),
            dynamodb.Table.from_table_name(stack, "T", "theirs"),
            kinesis.Stream.from_stream_arn(stack, "S", arn("kinesis", "stream/theirs")),
            apigatewayv2.HttpApi.from_http_api_attributes(stack, "A", http_api_id="a1b2"),
            sfn.StateMachine.from_state_machine_arn(stack, "M", arn("states", "stateMachine:theirs")),
            balancer,
        ],
        alarms=Alarms(),
    )
    rates = {f"{one}: ServerErrors" for one in "AM"} | {"Balancer: ServerErrors"}
    assert {*monitoring.alarms} == {"F: Errors", "F: Throttles", "Q: Age"} | rates
    assert "app/theirs/50dc6c495c0c9188" in body_of(stack)
    queries = resources(stack).all("AWS::Logs::QueryDefinition").values()
    assert {str(one["LogGroupNames"]) for one in queries} == {"['/aws/lambda/theirs']"}


def test_a_function_that_reads_a_stream_has_an_alarm_on_the_age_and_one_that_reads_a_queue_has_not() -> None:
    stack = new_stack()
    stream, queue = kinesis.Stream(stack, "Stream"), sqs.Queue(stack, "Queue")
    reader, consumer = function(stack, "Reader"), function(stack, "Consumer")
    start = lambda_.StartingPosition.LATEST
    reader.add_event_source(event_sources.KinesisEventSource(stream, starting_position=start))
    consumer.add_event_source(event_sources.SqsEventSource(queue))
    found = Monitoring(stack, "Monitoring", patterns=[reader, consumer], alarms=Alarms()).alarms
    assert [name for name in found if "StreamAge" in name] == ["Reader: StreamAge"]


def test_the_dead_letter_queue_of_a_plain_queue_is_a_failure_queue_and_notifies() -> None:
    stack = new_stack()
    dead = sqs.Queue(stack, "Dead")
    queue = sqs.Queue(stack, "Queue", dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=3))
    monitoring = Monitoring(stack, "Monitoring", patterns=[queue], alarms=Alarms(failures_waiting=7))
    assert {*monitoring.alarms} == {"Queue: Age", "Dead: Failures"}
    failures = resources(stack).only("AWS::CloudWatch::Alarm", Threshold=7)
    assert len(failures["AlarmActions"]) == 1
    assert "AlarmActions" not in resources(stack).only("AWS::CloudWatch::Alarm", Threshold=900)
    composite = json.dumps(resources(stack).only("AWS::CloudWatch::CompositeAlarm"))
    assert composite.count("ALARM(") == 1


def test_alarms_that_are_none_are_not_made() -> None:
    stack = new_stack()
    quiet = Alarms(
        error_rate=None,
        throttle_rate=None,
        server_error_rate=None,
        dropped_rate=None,
        duration_rate=None,
        queue_age=None,
        event_age=None,
        failures_waiting=None,
    )
    patterns = [
        HardenedFunction(stack, "F", code=CODE, handler="index.handler", asynchronous=AsyncOptions()),
        SqsConsumer(stack, "Q", code=CODE, handler="index.handler"),
    ]
    reader, stream = function(stack, "Reader"), kinesis.Stream(stack, "Stream")
    start = lambda_.StartingPosition.LATEST
    reader.add_event_source(event_sources.KinesisEventSource(stream, starting_position=start))
    monitoring = Monitoring(stack, "Monitoring", patterns=[*patterns, reader], alarms=quiet)
    assert {*monitoring.alarms} == {"Reader: StreamAge"}
    with pytest.raises(ValueError, match="alarms: none would be made"):  # and no topic, and no key
        Monitoring(stack, "Silent", patterns=patterns, alarms=quiet)


def test_nothing_is_made_unasked() -> None:
    stack = new_stack()
    monitoring = Monitoring(stack, "Monitoring", patterns=[function(stack)])
    Monitoring(stack, "Neither", patterns=[function(stack, "F")], dashboard=False, saved_queries=False)
    made = Counter(one["Type"] for one in resources(stack).template["Resources"].values())
    assert monitoring.topic is None
    assert made.keys() - {"AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup"} == {
        "AWS::CloudWatch::Dashboard",
        "AWS::Logs::QueryDefinition",
    }
    assert made["AWS::CloudWatch::Dashboard"] == 1


def test_the_topic_is_encrypted_and_only_alarms_of_the_account_may_publish_to_it() -> None:
    stack = new_stack()
    Monitoring(stack, "Monitoring", patterns=[function(stack)], alarms=Alarms())
    found = resources(stack)
    assert "KmsMasterKeyId" in found.only("AWS::SNS::Topic")
    [statement] = [
        one
        for one in found.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
        if one["Effect"] == "Allow"
    ]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert {*statement["Condition"]} == {"ArnLike", "StringEquals"}
    [_, by_alarms] = found.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    assert {*by_alarms["Action"]} == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert by_alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


def test_the_query_for_errors_goes_by_the_level_of_logs_in_json() -> None:
    errors = [
        '{"level": "CRITICAL", "message": "disk"}',
        '{"level": "ERROR", "message": "no"}',
        "[ERROR] KeyError: 'order'",
        "2026-01-01T00:00:00Z r-1 Task timed out after 3.00 seconds",
    ]
    others = ['{"level": "INFO", "message": "MIRRORED 0 ERROR"}', "[INFO] MIRRORED 0 TERRORISTS"]
    records = [{"@message": text, **fields_of(text)} for text in (*errors, *others)]
    assert [row["@message"] for row in Query(QUERIES["Errors"]).run(records)] == errors


def test_saved_queries_name_at_most_fifty_log_groups_each() -> None:
    stack = new_stack()
    functions = [lambda_.Function.from_function_name(stack, f"F{n}", f"f{n}") for n in range(51)]
    Monitoring(stack, "Monitoring", patterns=functions, dashboard=False)
    counts = [
        len(one["LogGroupNames"]) for one in resources(stack).all("AWS::Logs::QueryDefinition").values()
    ]
    assert Counter(counts) == {50: 4, 1: 4}


def wrong(stack: Stack) -> dict[str, tuple[dict[str, Any], str]]:
    """Arguments that are refused, and what the message says."""
    one = [function(stack)]
    fifo, own = sns.Topic(stack, "Fifo", fifo=True), sns.Topic(stack, "Own")
    managed = kms.Alias.from_alias_name(stack, "Managed", "alias/aws/sns")
    theirs = sns.Topic(stack, "Theirs", master_key=managed)
    return {
        "nothing": ({"patterns": []}, r"patterns=\(\): there is nothing to monitor"),
        "a bucket": ({"patterns": [s3.Bucket(stack, "B")]}, r"patterns\[0\]=Shop/B: it exposes nothing"),
        "a number": ({"patterns": [*one, 7]}, r"patterns\[1\]=7: it exposes nothing"),
        "an empty construct": ({"patterns": [Construct(stack, "C")]}, r"patterns\[0\]=Shop/C"),
        "a text": ({"patterns": "Orders"}, "patterns='Orders'"),
        "a topic without alarms": ({"patterns": one, "topic": own}, "give alarms=Alarms"),
        "a FIFO topic": ({"patterns": one, "topic": fifo, "alarms": Alarms()}, "cannot notify a FIFO topic"),
        "AWS's key": ({"patterns": one, "topic": theirs, "alarms": Alarms()}, "which CloudWatch may not use"),
        "a Network Load Balancer": (
            {
                "patterns": [
                    elbv2.NetworkLoadBalancer.from_network_load_balancer_attributes(
                        stack,
                        "Nlb",
                        load_balancer_arn="arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/net/n/5",
                    )
                ]
            },
            "it is not an Application Load Balancer",
        ),
        "a REST API without its name": (
            {"patterns": [apigateway.RestApi.from_rest_api_id(stack, "Rest", "abc123")]},
            "the metrics of a REST API have its name",
        ),
        "paths that become one id": (
            {
                "patterns": [function(Construct(stack, "X"), "Y-Z"), function(Construct(stack, "X-Y"), "Z")],
                "alarms": Alarms(),
            },
            "the alarms of X-Y/Z have the same ids as those of another path",
        ),
        "an age that no message reaches": (
            {
                "patterns": [sqs.Queue(stack, "Queue")],
                "alarms": Alarms(queue_age=Duration.days(4)),
            },
            "Queue retains messages for 345,600 seconds",
        ),
        "topic and key": (
            {"patterns": one, "topic": own, "encryption_key": kms.Key(stack, "K"), "alarms": Alarms()},
            "cannot be combined with topic",
        ),
    }


@pytest.mark.parametrize("case", wrong(new_stack()))
def test_wrong_arguments_are_refused(case: str) -> None:
    stack = new_stack()
    arguments, message = wrong(stack)[case]
    with pytest.raises(ValueError, match=message):
        Monitoring(stack, "Monitoring", **arguments)


def test_more_alarms_than_a_composite_alarm_takes_are_refused() -> None:
    stack = new_stack(stack_name="s" * 128)
    queues = [sqs.Queue(stack, f"{'Q' * 50}{n}") for n in range(45)]
    only = Alarms(failures_waiting=None)
    with pytest.raises(ValueError, match=r"45 alarms that users notice.*allows 100 alarms and 10,240 char"):
        Monitoring(stack, "Monitoring", patterns=queues, alarms=only)
    Monitoring(new_stack(), "Monitoring", patterns=[sqs.Queue(new_stack(), "Q")], alarms=only)


def test_a_dashboard_has_no_more_widgets_and_metrics_than_cloudwatch_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (dashboard._MOST_WIDGETS, dashboard._MOST_METRICS) == (500, 2_500)
    stack = new_stack()
    functions = [lambda_.Function.from_function_name(stack, f"F{n}", f"f{n}") for n in range(6)]
    monkeypatch.setattr(dashboard, "_MOST_WIDGETS", 25)
    Monitoring(stack, "Fits", patterns=functions[:5], saved_queries=False)
    with pytest.raises(ValueError, match=r"the dashboard has 26 widgets with 60 metrics"):
        Monitoring(stack, "Wide", patterns=functions, saved_queries=False)
    monkeypatch.undo()
    monkeypatch.setattr(dashboard, "_MOST_METRICS", 59)
    with pytest.raises(ValueError, match=r"with 60 metrics; CloudWatch allows 500 and 59\."):
        Monitoring(stack, "Many", patterns=functions, saved_queries=False)


def test_the_rate_of_a_state_machine_is_of_executions_that_have_ended() -> None:
    stack = new_stack()
    machine = sfn.StateMachine(
        stack, "Machine", definition_body=sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "Pass"))
    )
    Monitoring(stack, "Monitoring", patterns=[machine], alarms=Alarms())
    alarm = resources(stack).only("AWS::CloudWatch::Alarm")
    names = {one["MetricStat"]["Metric"]["MetricName"] for one in alarm["Metrics"] if "MetricStat" in one}
    assert names == {f"Executions{how}" for how in ("Succeeded", "Failed", "TimedOut", "Aborted")}


def test_an_alias_or_version_in_an_arn_is_monitored_by_its_own_metrics() -> None:
    stack = new_stack(env=Environment(account="123456789012", region="us-east-1"))
    arn = "arn:aws:lambda:us-east-1:123456789012:function:theirs"
    version = lambda_.Version.from_version_arn(stack, "V", f"{arn}:3")
    patterns = {
        "live": lambda_.Function.from_function_arn(stack, "F", f"{arn}:live"),
        "prod": lambda_.Alias.from_alias_attributes(stack, "A", alias_name="prod", alias_version=version),
        "3": version,
    }
    for qualifier, one in patterns.items():
        Monitoring(stack, f"M{qualifier}", patterns=[one], alarms=Alarms(throttle_rate=None), dashboard=False)
    alarms = resources(stack).all("AWS::CloudWatch::Alarm").values()
    found = [alarm["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"] for alarm in alarms]
    assert found == [
        [{"Name": "FunctionName", "Value": "theirs"}, {"Name": "Resource", "Value": f"theirs:{qualifier}"}]
        for qualifier in patterns
    ]


class Exposing(Construct):
    """Exposes a function as a property, and a queue under a name that the caller chooses."""

    def __init__(self, scope: Construct, id: str, name: str) -> None:
        super().__init__(scope, id)
        self._function = function(self)
        setattr(self, name, sqs.Queue(self, "Queue"))

    @property
    def function(self) -> lambda_.Function:
        return self._function


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dlq", "Failures"),
        ("deadletter_queue", "Failures"),
        ("orders_dead_letter_queue", "Failures"),
        ("undelivered_queues", "Failures"),
        ("error_queue", "Failures"),
        ("failure_destination", "Failures"),
        ("failed_messages_queue", "Failures"),
        ("retry_failure_rate_queue", "Age"),
        ("queue", "Age"),
    ],
)
def test_properties_are_found_and_queues_for_failures_known_by_their_names(name: str, kind: str) -> None:
    stack = new_stack()
    found = Monitoring(stack, "Monitoring", patterns=[Exposing(stack, "E", name)], alarms=Alarms()).alarms
    assert {*found} == {f"E/Queue: {kind}"} | {
        f"E/Function: {k}" for k in ("Errors", "Throttles", "Duration")
    }


@pytest.mark.parametrize("kind", ["Region", "account"])
def test_resources_of_another_region_or_account_are_refused(kind: str) -> None:
    here = {"account": "123456789012", "region": "us-east-1"}
    there = {**here, kind.lower(): "eu-west-1" if kind == "Region" else "210987654321"}
    app = App(context=app_context(), builtin_cloud_formation_validation=False)
    stack, other = (Stack(app, name, env=Environment(**at)) for name, at in (("A", here), ("B", there)))
    arn = f"arn:aws:{{}}:{there['region']}:{there['account']}:{{}}".format
    for one in (
        apigatewayv2.HttpApi(other, "Api"),
        sfn.StateMachine.from_state_machine_arn(stack, "M", arn("states", "stateMachine:theirs")),
        lambda_.Function.from_function_arn(stack, "F", arn("lambda", "function:theirs")),
        sqs.Queue.from_queue_arn(stack, "Q", arn("sqs", "theirs")),
        kinesis.Stream.from_stream_arn(stack, "S", arn("kinesis", "stream/theirs")),
        dynamodb.Table.from_table_arn(stack, "T", arn("dynamodb", "table/theirs")),
    ):
        with pytest.raises(ValueError, match=rf"patterns\[0\]=.* give one of the same {kind}"):
            Monitoring(stack, "Monitoring", patterns=[one], alarms=Alarms())


@pytest.mark.parametrize("own_topic", [True, False])
def test_the_owner_of_an_imported_key_is_asked_to_allow_cloudwatch(own_topic: bool) -> None:
    stack = new_stack()
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:us-east-1:123456789012:key/1234")
    given = {"topic": sns.Topic(stack, "Topic", master_key=key)} if own_topic else {"encryption_key": key}
    Monitoring(stack, "Monitoring", patterns=[function(stack)], alarms=Alarms(), **given)
    found = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("kms:GenerateDataKey"))
    assert len(found) == 1


def test_saved_queries_of_equal_ids_have_different_names() -> None:
    stack = new_stack()
    for parent in ("One", "Two"):
        Monitoring(Construct(stack, parent), "Monitoring", patterns=[function(stack, parent + "F")])
    queries = resources(stack).all("AWS::Logs::QueryDefinition").values()
    assert len({str(one["Name"]) for one in queries}) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"error_rate": 0}, "error_rate=0"),
        ({"dropped_rate": 101}, "dropped_rate=101"),
        ({"queue_age": Duration.millis(10)}, "queue_age=0.01"),
        ({"minimum_count": 0}, "minimum_count=0"),
        ({"event_age": Duration.hours(6)}, "event_age=21,600"),
        ({"period": Duration.seconds(90)}, "period=1.5"),
        ({"datapoints_to_alarm": 4}, "datapoints_to_alarm=4: CloudWatch allows at most evaluation_periods=3"),
        ({"evaluation_periods": 300}, "evaluation_periods=300: CloudWatch allows 1,440 minutes"),
    ],
)
def test_thresholds_outside_of_what_cloudwatch_allows_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Alarms(**arguments)
