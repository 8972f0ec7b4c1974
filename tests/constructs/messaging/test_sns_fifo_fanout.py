"""SnsFifoFanout: what it builds, with its own and with given resources, and what it refuses."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Stack, Stage
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.messaging.sns_fifo_fanout import SnsFifoFanout, SnsFifoFanoutOptions, Subscriber
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumerOptions
from tests.templates import Resources, as_list, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")


def subscriber(**arguments: object) -> Subscriber:
    return Subscriber(code=CODE, handler="index.handler", **arguments)  # type: ignore[arg-type]


def function_of(stack: Stack) -> lambda_.Function:
    return lambda_.Function(
        stack, "Given", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
    )


@stack_with
def plain(stack: Stack) -> None:
    paid = {"type": sns.SubscriptionFilter.string_filter(allowlist=["Paid"])}
    body = {"type": sns.FilterOrPolicy.filter(sns.SubscriptionFilter.string_filter(denylist=["Noted"]))}
    fanout = SnsFifoFanout(
        stack,
        "Events",
        subscribers={
            "All": subscriber(),
            "Paid": subscriber(filter_policy=paid),
            "Rest": subscriber(filter_policy_with_message_body=body),
        },
        options=SnsFifoFanoutOptions(
            high_throughput=True, message_retention_period_in_days=30, content_based_deduplication=True
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    fanout.grant_publish(iam.Role(stack, "Sender", assumed_by=iam.AccountRootPrincipal()))
    assert fanout.bridge is None


def test_the_topic_has_its_options_and_no_name(plain: Resources) -> None:
    topic = plain.only("AWS::SNS::Topic")
    assert topic == {
        "FifoTopic": True,
        "ContentBasedDeduplication": True,
        "FifoThroughputScope": "MessageGroup",
        "ArchivePolicy": {"MessageRetentionPeriod": 30},
        "KmsMasterKeyId": "alias/aws/sns",
    }


def test_each_subscriber_has_three_fifo_queues(plain: Resources) -> None:
    queues = plain.all("AWS::SQS::Queue")
    assert len(queues) == 9
    assert all(queue["FifoQueue"] for queue in queues.values())
    assert len([queue for queue in queues.values() if "RedrivePolicy" in queue]) == 3


def test_only_this_topic_may_send_to_the_queues(plain: Resources) -> None:
    allowed = [
        statement
        for policy in plain.all("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert len(allowed) == 6  # its queue, and the one for undelivered messages, for each subscriber
    [topic] = plain.all("AWS::SNS::Topic")
    for statement in allowed:
        assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": topic}}}


def test_messages_are_delivered_raw_and_filtered_and_undelivered_ones_are_retained(plain: Resources) -> None:
    found = {
        str(one["Endpoint"]["Fn::GetAtt"][0]).removeprefix("Events")[:4].rstrip("Q"): one
        for one in plain.all("AWS::SNS::Subscription").values()
    }
    for name, one in found.items():
        assert one["RawMessageDelivery"] is True
        assert one["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0].startswith(
            f"Events{name}Undelivered"
        )
    assert "FilterPolicy" not in found["All"]
    assert found["Paid"]["FilterPolicy"] == {"type": ["Paid"]}
    assert "FilterPolicyScope" not in found["Paid"]
    assert found["Rest"]["FilterPolicyScope"] == "MessageBody"
    assert found["Rest"]["FilterPolicy"] == {"type": [{"anything-but": ["Noted"]}]}


def test_a_publisher_may_publish_and_nothing_else(plain: Resources) -> None:
    assert plain.actions("Sender") == {"sns:Publish"}


def test_the_topic_refuses_requests_without_tls(plain: Resources) -> None:
    [statement] = plain.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


@stack_with
def encrypted(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    SnsFifoFanout(
        stack,
        "Events",
        subscribers={"All": subscriber(options=SqsConsumerOptions(encryption_key=kms.Key(stack, "Queues")))},
        source=kinesis.Stream(stack, "Stream", encryption=kinesis.StreamEncryption.MANAGED),
        options=SnsFifoFanoutOptions(encryption_key=key),
    )


def test_the_bridge_may_read_publish_and_use_the_key_of_the_topic(encrypted: Resources) -> None:
    role = "EventsBridgeFunctionServiceRole"
    assert {"sns:Publish", "kinesis:GetRecords", "kms:GenerateDataKey", "kms:Decrypt"} <= encrypted.actions(
        role
    )
    [statement] = [one for one in encrypted.statements(role) if "kms:Decrypt" in as_list(one["Action"])]
    assert statement["Resource"]["Fn::GetAtt"][0].startswith("Key")


def test_the_key_of_the_queues_allows_sns_to_use_it_only_for_this_topic(encrypted: Resources) -> None:
    [key] = [one for name, one in encrypted.all("AWS::KMS::Key").items() if name.startswith("Queues")]
    admitted = [
        one for one in key["KeyPolicy"]["Statement"] if one["Principal"] == {"Service": "sns.amazonaws.com"}
    ]
    assert admitted
    assert all("aws:SourceArn" in str(one["Condition"]) for one in admitted)
    assert {action for one in admitted for action in as_list(one["Action"])} == {
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }


@pytest.mark.parametrize("flag", [None, False, True])
def test_sns_may_use_a_key_only_for_this_topic_whatever_the_app_sets(flag: bool | None) -> None:
    context = {} if flag is None else {"@aws-cdk/aws-sns-subscriptions:restrictSqsDescryption": flag}
    stack = Stack(App(context=context, builtin_cloud_formation_validation=False), "S")
    queue = sqs.Queue(stack, "Dead", fifo=True)
    SnsFifoFanout(
        stack,
        "Events",
        subscribers={
            "New": subscriber(options=SqsConsumerOptions(encryption_key=kms.Key(stack, "Key"))),
            "Given": subscriber(
                queue=sqs.Queue(
                    stack,
                    "Queue",
                    fifo=True,
                    visibility_timeout=Duration.minutes(3),
                    dead_letter_queue=sqs.DeadLetterQueue(queue=queue, max_receive_count=3),
                    encryption_master_key=kms.Key(stack, "Other"),
                )
            ),
        },
    )
    conditions = conditions_of_sns(Resources(dict(Template.from_stack(stack).to_json())))
    assert len(conditions) == 2
    assert all(list(condition) == ["ArnEquals"] for condition in conditions)


def test_one_key_for_topic_and_queues_makes_no_cycle() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    key = kms.Key(stack, "Key")
    subscribers = {"All": subscriber(options=SqsConsumerOptions(encryption_key=key))}
    SnsFifoFanout(stack, "Events", subscribers=subscribers, options=SnsFifoFanoutOptions(encryption_key=key))
    # Template.from_stack raises if there is a cycle.
    [condition] = conditions_of_sns(Resources(dict(Template.from_stack(stack).to_json())))
    assert condition == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_a_key_from_another_stack_makes_no_cycle() -> None:
    app = App(builtin_cloud_formation_validation=False)
    options = SqsConsumerOptions(encryption_key=kms.Key(Stack(app, "Keys"), "Key"))
    SnsFifoFanout(Stack(app, "S"), "Events", subscribers={"All": subscriber(options=options)})
    app.synth()


def conditions_of_sns(resources: Resources) -> list[dict[str, object]]:
    """Return the conditions of the statements for SNS in the policies of keys."""
    return [
        one["Condition"]
        for key in resources.all("AWS::KMS::Key").values()
        for one in key["KeyPolicy"]["Statement"]
        if one["Principal"] == {"Service": "sns.amazonaws.com"}
    ]


@stack_with
def granted(stack: Stack) -> None:
    fanout = SnsFifoFanout(
        stack,
        "Events",
        subscribers={"All": subscriber()},
        options=SnsFifoFanoutOptions(encryption_key=kms.Key(stack, "Key")),
    )
    for principal in (
        iam.ServicePrincipal("s3.amazonaws.com"),
        iam.AccountPrincipal("210987654321"),
        iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::098765432109:role/theirs"),
    ):
        fanout.grant_publish(principal)


@pytest.mark.parametrize("principal", ["s3.amazonaws.com", "210987654321", "098765432109:role/theirs"])
def test_who_has_no_role_here_gets_statements_in_the_policies_of_topic_and_key(
    granted: Resources, principal: str
) -> None:
    topic, key = granted.only("AWS::SNS::TopicPolicy"), granted.only("AWS::KMS::Key")
    [publish] = [one for one in topic["PolicyDocument"]["Statement"] if principal in str(one["Principal"])]
    [use] = [one for one in key["KeyPolicy"]["Statement"] if principal in str(one["Principal"])]
    assert publish["Action"] == "sns:Publish"
    assert use["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_what_needs_the_policy_of_an_imported_resource_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    topic = sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:eu-west-1:123456789012:mine.fifo")
    queue = sqs.Queue.from_queue_arn(stack, "Queue", "arn:aws:sqs:eu-west-1:123456789012:mine.fifo")
    fanout = SnsFifoFanout(stack, "Events", topic=topic, subscribers={"All": subscriber(queue=queue)})
    fanout.grant_publish(iam.ServicePrincipal("s3.amazonaws.com"))
    found = Annotations.from_stack(stack)
    allow = "Its owner must allow the principal "
    found.has_warning("/S/Events", Match.string_like_regexp(f"{allow}.*s3.*sns:Publish"))
    found.has_warning("/S/Queue", Match.string_like_regexp(f"{allow}sns.amazonaws.com sqs:SendMessage"))


@pytest.mark.parametrize("policy", [RemovalPolicy.RETAIN, RemovalPolicy.DESTROY])
def test_a_topic_with_an_archive_which_sns_does_not_delete_is_retained_or_a_warning(
    policy: RemovalPolicy,
) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S")
    SnsFifoFanout(
        stack,
        "Events",
        subscribers={"All": subscriber()},
        options=SnsFifoFanoutOptions(message_retention_period_in_days=7),
        removal_policy=policy,
    )
    resources = Template.from_stack(stack).to_json()["Resources"].values()
    [topic] = [one for one in resources if one["Type"] == "AWS::SNS::Topic"]
    assert topic["DeletionPolicy"] == ("Retain" if policy is RemovalPolicy.RETAIN else "Delete")
    message = Match.string_like_regexp("set-topic-attributes")
    warned = Annotations.from_stack(stack).find_warning("/S/Events", message)
    assert bool(warned) == (policy is RemovalPolicy.DESTROY)


def variables_of_the_bridge(resources: Resources, id: str = "Events") -> dict[str, object]:
    functions = resources.all("AWS::Lambda::Function").items()
    [bridge] = [one for name, one in functions if name.startswith(f"{id}BridgeFunction")]
    variables: dict[str, object] = bridge["Environment"]["Variables"]
    return variables


def test_the_bridge_publishes_to_the_topic_and_reports_to_a_standard_queue(encrypted: Resources) -> None:
    [topic] = encrypted.all("AWS::SNS::Topic")
    [(name, queue)] = [
        one for one in encrypted.all("AWS::SQS::Queue").items() if one[0].startswith("EventsBridgeFailure")
    ]
    assert "FifoQueue" not in queue  # Lambda supports no FIFO queue as a failure destination
    variables = variables_of_the_bridge(encrypted)
    assert variables["TOPIC_ARN"] == {"Ref": topic}
    assert variables["FAILURE_QUEUE_URL"] == {"Ref": name}
    assert variables["MAXIMUM_MESSAGE_SIZE"] == "262144"


def test_the_bridge_retries_instead_of_giving_up_later_events(encrypted: Resources) -> None:
    [mapping] = [
        one
        for one in encrypted.all("AWS::Lambda::EventSourceMapping").values()
        if "BisectBatchOnFunctionError" in one
    ]
    assert mapping["MaximumRetryAttempts"] == 100


@stack_with
def large_messages(stack: Stack) -> None:
    source = kinesis.Stream(stack, "Stream")
    options = SnsFifoFanoutOptions(maximum_message_size=1_048_576)
    SnsFifoFanout(stack, "Own", subscribers={"All": subscriber()}, source=source, options=options)
    topic = sns.Topic(stack, "Topic", fifo=True)
    resource = topic.node.default_child
    assert isinstance(resource, sns.CfnTopic)
    resource.maximum_message_size = 1024
    SnsFifoFanout(stack, "Given", subscribers={"All": subscriber()}, source=source, topic=topic)


def test_the_bridge_knows_the_limit_of_the_topic(large_messages: Resources) -> None:
    assert variables_of_the_bridge(large_messages, "Own")["MAXIMUM_MESSAGE_SIZE"] == "1048576"
    assert variables_of_the_bridge(large_messages, "Given")["MAXIMUM_MESSAGE_SIZE"] == "1024"
    topics = large_messages.all("AWS::SNS::Topic").values()
    assert sorted(topic["MaximumMessageSize"] for topic in topics) == [1024, 1_048_576]


@stack_with
def existing_functions(stack: Stack) -> None:
    alias = function_of(stack).add_alias("live")
    SnsFifoFanout(stack, "Events", subscribers={"All": Subscriber(function=alias)})


def test_a_subscriber_may_be_an_alias(existing_functions: Resources) -> None:
    mapping = existing_functions.only("AWS::Lambda::EventSourceMapping")
    [alias] = existing_functions.all("AWS::Lambda::Alias")
    assert alias in str(mapping["FunctionName"])
    assert mapping["FunctionName"]["Fn::Join"][1][1] == ":live"
    assert len(existing_functions.all("AWS::Lambda::Function")) == 1


@stack_with
def given_resources(stack: Stack) -> None:
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(stack, "Dead", fifo=True), max_receive_count=3)
    queue = sqs.Queue(
        stack, "Queue", fifo=True, dead_letter_queue=dead, visibility_timeout=Duration.minutes(3)
    )
    SnsFifoFanout(
        stack,
        "Events",
        topic=sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:eu-west-1:123456789012:mine.fifo"),
        subscribers={"All": subscriber(queue=queue)},
    )


def test_a_given_topic_and_a_given_queue_are_used(given_resources: Resources) -> None:
    assert not given_resources.all("AWS::SNS::Topic")
    subscription = given_resources.only("AWS::SNS::Subscription")
    assert subscription["TopicArn"] == "arn:aws:sns:eu-west-1:123456789012:mine.fifo"
    assert len(given_resources.all("AWS::SQS::Queue")) == 3  # the two given, and one for the undelivered


def test_two_in_a_stack_in_a_stage_work() -> None:
    stage = Stage(App(builtin_cloud_formation_validation=False), "Stage")
    stack = Stack(stage, "S")
    for name in ("One", "Two"):
        SnsFifoFanout(stack, name, subscribers={"All": subscriber()})
    stage.synth()


def fanout_with_a_subscriber_named(name: str, stack: Stack) -> SnsFifoFanout:
    return SnsFifoFanout(stack, "Events", subscribers={name: subscriber()})


REFUSED: dict[str, tuple[Callable[[Stack], object], str]] = {
    "no subscriber": (
        lambda stack: SnsFifoFanout(stack, "E", subscribers={}),
        "len(subscribers)=0: SNS allows 1 to 100",
    ),
    **{
        f"a subscriber named {name!r}": (
            partial(fanout_with_a_subscriber_named, name),
            f"subscribers[{name!r}]: a name must not be empty",
        )
        for name in ("", "Topic", "Bridge")
    },
    "two filters": (
        lambda _: subscriber(filter_policy={}, filter_policy_with_message_body={}),
        "filter_policy cannot be combined with filter_policy_with_message_body",
    ),
    "an archive of more than a year": (
        lambda _: SnsFifoFanoutOptions(message_retention_period_in_days=366),
        "message_retention_period_in_days=366: SNS allows 1 to 365 days",
    ),
    "a message size below that of SNS": (
        lambda _: SnsFifoFanoutOptions(maximum_message_size=1023),
        "maximum_message_size=1,023: SNS allows 1,024 to 1,048,576 bytes",
    ),
    "a fraction of a day": (
        lambda _: SnsFifoFanoutOptions(message_retention_period_in_days=1.5),  # type: ignore[arg-type]
        "message_retention_period_in_days=1.5: a whole number is needed, not float",
    ),
    "a topic in another Region": (
        lambda _: SnsFifoFanout(
            stack := Stack(App(), "S", env=Environment(account="123456789012", region="us-east-1")),
            "E",
            topic=sns.Topic.from_topic_arn(stack, "T", "arn:aws:sns:eu-west-1:123456789012:t.fifo"),
            subscribers={"All": subscriber()},
        ),
        "topic=S/T: it is in eu-west-1, and this stack in us-east-1",
    ),
    "code and a function": (
        lambda stack: subscriber(function=function_of(stack)),
        "code, handler cannot be combined with function",
    ),
    "neither code nor a function": (lambda _: Subscriber(), "code and function are missing"),
    "a standard topic": (
        lambda stack: SnsFifoFanout(
            stack, "E", topic=sns.Topic(stack, "T"), subscribers={"All": subscriber()}
        ),
        "topic=S/T: it is a standard topic, which keeps no order; give a FIFO topic",
    ),
    "settings of a given topic": (
        lambda stack: SnsFifoFanout(
            stack,
            "E",
            topic=sns.Topic(stack, "T", fifo=True),
            options=SnsFifoFanoutOptions(),
            subscribers={"All": subscriber()},
        ),
        "options cannot be combined with topic; configure the topic where it is made",
    ),
    "a standard queue": (
        lambda stack: SnsFifoFanout(stack, "E", subscribers={"All": subscriber(queue=sqs.Queue(stack, "Q"))}),
        "queue of subscriber 'All': it is a standard queue",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_refused(make: Callable[[Stack], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(Stack(App(), "S"))
