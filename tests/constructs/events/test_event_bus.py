"""EventBus: bus, archive, rules with their queues, and who may publish."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Stack, Token
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.events.event_bus import BusRule, EventBus
from tests.templates import Resources, stack_with

EU = Environment(account="123456789012", region="eu-west-1")
ORDERS = events.EventPattern(source=["shop"], detail_type=["OrderPlaced"])
LIVE = [{"exists": False}]
INPUT = events.RuleTargetInput
ARN = "arn:aws:{}:{}:{}:{}"


def function(stack: Stack, id: str = "Function") -> lambda_.Function:
    code = lambda_.Code.from_inline("def handler(event, context): return event")
    return lambda_.Function(
        stack, id, code=code, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_14
    )


def stack_in_eu() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)


def add(stack: Stack, **more: Any) -> BusRule:
    target = more.pop("function", None) or function(stack)
    return EventBus(stack, "Shop").add_function("Rule", target, **{"event_pattern": ORDERS, **more})


@stack_with
def everything(stack: Stack) -> None:
    bus = EventBus(stack, "Shop", archive_retention=Duration.days(30), removal_policy=RemovalPolicy.DESTROY)
    order = {"order": events.EventField.from_path("$.detail")}
    bus.add_function(
        "Invoices", function(stack), event_pattern=ORDERS, input=events.RuleTargetInput.from_object(order)
    )
    bus.add_function(
        "Mails",
        function(stack, "Other"),
        event_pattern=ORDERS,
        ignore_replays=True,
        retry_attempts=3,
        max_event_age=Duration.hours(1),
    )


def fields(number: int) -> events.RuleTargetInput:
    return INPUT.from_object({f"k{n}": events.EventField.from_path(f"$.detail.k{n}") for n in range(number)})


def rule(resources: Resources, name: str) -> dict[str, Any]:
    (found,) = (one for key, one in resources.all("AWS::Events::Rule").items() if name in key)
    return found


def test_a_target_retries_for_a_day_and_has_its_dead_letter_queue(everything: Resources) -> None:
    (target,) = rule(everything, "Invoices")["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    assert "InvoicesUndeliveredQueue" in str(target["DeadLetterConfig"])
    assert target["InputTransformer"]["InputTemplate"] == '{"order":<detail>}'
    (target,) = rule(everything, "Mails")["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3_600, "MaximumRetryAttempts": 3}
    assert "MailsUndeliveredQueue" in str(target["DeadLetterConfig"])


def test_only_the_rule_may_invoke_the_function_and_send_to_the_queue(everything: Resources) -> None:
    rules = {str({"Fn::GetAtt": [name, "Arn"]}) for name in everything.all("AWS::Events::Rule")}
    permissions = everything.all("AWS::Lambda::Permission").values()
    assert {str(one["SourceArn"]) for one in permissions} == rules
    statements = [
        one
        for policy in everything.all("AWS::SQS::QueuePolicy").values()
        for one in policy["PolicyDocument"]["Statement"]
        if one["Effect"] == "Allow"
    ]
    assert {str(one["Condition"]["ArnEquals"]["aws:SourceArn"]) for one in statements} == rules


def test_the_archive_stores_all_events(everything: Resources) -> None:
    archive = everything.only("AWS::Events::Archive")
    assert (archive.get("EventPattern"), archive["RetentionDays"]) == (None, 30)


def test_a_rule_may_ignore_replays(everything: Resources) -> None:
    assert "replay-name" not in rule(everything, "Invoices")["EventPattern"]
    assert rule(everything, "Mails")["EventPattern"] == {
        "source": ["shop"],
        "detail-type": ["OrderPlaced"],
        "replay-name": LIVE,
    }


def test_two_deployments_have_buses_of_different_names(everything: Resources) -> None:
    assert {"Ref": "AWS::StackName"} in everything.only("AWS::Events::EventBus")["Name"]["Fn::Join"][1]


def test_the_bus_is_retained_with_its_archive() -> None:
    stack = stack_in_eu()
    shop = events.EventPattern(source=["shop"])
    bus = EventBus(stack, "Shop", archive_retention=Duration.days(1), archive_pattern=shop)
    template = Template.from_stack(stack)
    for kind in ("AWS::Events::EventBus", "AWS::Events::Archive"):
        template.has_resource(kind, {"DeletionPolicy": "Retain"})
    template.has_resource_properties("AWS::Events::Archive", {"EventPattern": {"source": ["shop"]}})
    assert bus.archive is not None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"archive_retention": Duration.hours(36)}, "archive_retention=1.5: EventBridge allows 1 to"),
        ({"archive_retention": Duration.days(0)}, "archive_retention=0: EventBridge allows 1 to"),
        ({"archive_pattern": ORDERS}, "archive_pattern: there is no archive; give archive_retention"),
        (
            {"archive_retention": Duration.days(1), "archive_pattern": events.EventPattern(source=[])},
            "archive_pattern: source is empty",
        ),
    ],
)
def test_an_archive_is_refused(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        EventBus(stack_in_eu(), "Shop", **arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"retry_attempts": 186}, "retry_attempts=186: EventBridge allows 0 to 185"),
        ({"max_event_age": Duration.seconds(59)}, "max_event_age=59: EventBridge allows 60 to 86,400"),
        ({"max_event_age": Duration.hours(25)}, "max_event_age=90,000: EventBridge allows"),
        ({"event_pattern": events.EventPattern()}, "event_pattern: it is empty; give at least a source"),
        (
            {"event_pattern": events.EventPattern(source=["x" * 250 for _ in range(20)])},
            "length of event_pattern=5,0.*: EventBridge allows 1 to 4,096 characters",
        ),
        (
            {"event_pattern": events.EventPattern(source=["x" * 4_081]), "ignore_replays": True},
            "length of event_pattern=4,129: EventBridge allows 1 to 4,096 characters",
        ),
        ({"event_pattern": events.EventPattern(source=[])}, "event_pattern: source is empty"),
        ({"input": fields(101)}, "number of fields in input=101: EventBridge allows 0 to 100 event fields"),
        ({"input": INPUT.from_text("x" * 8_191)}, "length of input=8,193: EventBridge allows 1 to 8,192"),
        (
            {"input": INPUT.from_object({"a": "x" * 8_192, "id": events.EventField.event_id})},
            "length of input=8,2.*: EventBridge allows 1 to 8,192 characters",
        ),
        (
            {"input": INPUT.from_event_path("detail")},
            r"input: the path 'detail' does not begin with \$; write",
        ),
        ({"input": INPUT.from_object(events.EventField.from_path("a"))}, r"write '\$\.a'"),
        ({"input": INPUT.from_event_path("$." + "x" * 255)}, "length of the path .* allows 1 to 256"),
    ],
)
def test_a_rule_is_refused(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        add(stack_in_eu(), **arguments)


def test_as_much_input_as_eventbridge_takes_is_accepted() -> None:
    stack = stack_in_eu()
    bus, target = EventBus(stack, "Shop"), function(stack)
    for number, one in enumerate(
        (fields(100), INPUT.from_text("x" * 8_190), INPUT.from_event_path("$.detail"))
    ):
        bus.add_function(f"Rule{number}", target, event_pattern=ORDERS, input=one)


QUEUES: dict[str, tuple[Callable[[Stack], sqs.IQueue], str]] = {
    "fifo": (
        lambda stack: sqs.Queue(stack, "Q", fifo=True),
        "it is a FIFO queue or topic, and EventBridge sends to standard ones only",
    ),
    "other Region": (
        lambda stack: sqs.Queue.from_queue_arn(stack, "Q", ARN.format("sqs", "us-east-1", EU.account, "q")),
        "it is in us-east-1",
    ),
    "key of AWS": (
        lambda stack: sqs.Queue(stack, "Q", encryption=sqs.QueueEncryption.KMS_MANAGED),
        "it is encrypted with alias/aws/sqs, which EventBridge may not use",
    ),
}


@pytest.mark.parametrize(("queue", "error"), QUEUES.values(), ids=QUEUES)
def test_a_queue_to_which_eventbridge_cannot_send_is_refused(
    queue: Callable[[Stack], sqs.IQueue], error: str
) -> None:
    stack = stack_in_eu()
    with pytest.raises(ValueError, match=f"^undelivered_queue=Stack/Q: {error}"):
        add(stack, undelivered_queue=queue(stack))


def test_eventbridge_may_use_the_key_of_a_queue() -> None:
    stack = stack_in_eu()
    key = kms.Key(stack, "Key")
    add(stack, undelivered_queue=sqs.Queue(stack, "Q", encryption_master_key=key))
    (resource,) = Template.from_stack(stack).find_resources("AWS::KMS::Key").values()
    allowed = [
        sorted(one["Action"])
        for one in resource["Properties"]["KeyPolicy"]["Statement"]
        if one["Principal"] == {"Service": "events.amazonaws.com"}
    ]
    assert allowed == [["kms:Decrypt", "kms:GenerateDataKey"]]


def test_a_queue_from_another_stack_allows_the_rules_of_the_account() -> None:
    app = App(builtin_cloud_formation_validation=False)
    other, stack = Stack(app, "Other", env=EU), Stack(app, "Stack", env=EU)
    add(stack, undelivered_queue=sqs.Queue(other, "Q"))
    Template.from_stack(other).has_resource_properties(
        "AWS::SQS::QueuePolicy",
        Match.object_like(
            {
                "PolicyDocument": {
                    "Statement": [
                        Match.object_like(
                            {
                                "Action": "sqs:SendMessage",
                                "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
                            }
                        )
                    ]
                }
            }
        ),
    )


def test_the_owner_of_a_queue_of_another_account_has_to_allow_the_rule() -> None:
    stack = stack_in_eu()
    queue = sqs.Queue.from_queue_arn(stack, "Q", ARN.format("sqs", EU.region, "1" * 12, "q"))
    add(stack, undelivered_queue=queue)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Events::Rule",
        {"Targets": [Match.object_like({"DeadLetterConfig": {"Arn": queue.queue_arn}})]},
    )
    Annotations.from_stack(stack).has_warning(
        "*", Match.string_like_regexp("Its owner must .*sqs:SendMessage")
    )


def test_a_function_of_another_account_is_refused() -> None:
    stack = stack_in_eu()
    arn = ARN.format("lambda", EU.region, "1" * 12, "function:f")
    with pytest.raises(
        ValueError, match=r"^function=Stack/F: it is in 111111111111.* with a role, which this"
    ):
        add(stack, function=lambda_.Function.from_function_arn(stack, "F", arn))


def test_what_cannot_be_allowed_here_is_a_warning() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    arn = ARN.format("lambda", EU.region, EU.account, "function:f")
    theirs = lambda_.Function.from_function_arn(stack, "F", arn)
    queue = sqs.Queue.from_queue_arn(stack, "Q", ARN.format("sqs", EU.region, EU.account, "q"))
    add(stack, function=theirs, undelivered_queue=queue)
    for what in ("lambda:InvokeFunction for the rule", "sqs:SendMessage"):
        Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp(f"Its owner must .*{what}"))


# --- Who may publish


def statements(stack: Stack) -> list[dict[str, Any]]:
    policies = Template.from_stack(stack).find_resources("AWS::Events::EventBusPolicy").values()
    return [one["Properties"]["Statement"] for one in policies]


def test_a_role_gets_an_identity_policy_and_others_a_statement_in_the_policy_of_the_bus() -> None:
    stack = stack_in_eu()
    bus = EventBus(stack, "Shop")
    bus.grant_put_events(function(stack))
    for _ in range(2):
        bus.grant_put_events_to_account("111122223333", organization_id="o-a1b2c3d4e5")
        bus.grant_put_events_to_organization("o-a1b2c3d4e5")
    bus.grant_put_events_to_account(Token.as_string({"Ref": "Account"}))
    only = {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
    found = statements(stack)
    assert [one.get("Condition") for one in found] == [only, only, None]
    assert found[1]["Principal"] == "*"
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    assert [
        one["Action"]
        for policy in policies.values()
        for one in policy["Properties"]["PolicyDocument"]["Statement"]
    ] == ["events:PutEvents"]


@pytest.mark.parametrize(
    ("grant", "error"),
    [
        (lambda bus: bus.grant_put_events_to_account("12"), "account='12': give 12 digits"),
        (lambda bus: bus.grant_put_events_to_organization("r-1"), "organization_id='r-1': give an id such"),
        (
            lambda bus: bus.grant_put_events(iam.AccountPrincipal("111122223333")),
            "it has no identity policy here; use grant_put_events_to_account",
        ),
    ],
)
def test_a_grant_is_refused(grant: Callable[[EventBus], object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        grant(EventBus(stack_in_eu(), "Shop"))


def test_a_policy_that_would_be_too_long_is_refused() -> None:
    bus = EventBus(stack_in_eu(), "Shop")
    for number in range(50):
        bus.grant_put_events_to_account(f"{number:012}")
    with pytest.raises(ValueError, match=r"length of the policy of the bus=10,2.*: EventBridge allows 1 to"):
        deque(map(bus.grant_put_events_to_account, (f"{number:012}" for number in range(50, 60))))


def test_a_bus_of_another_region_is_named_by_its_path() -> None:
    app = App(builtin_cloud_formation_validation=False)
    other = Stack(app, "Other", env=Environment(account=EU.account, region="us-east-1"))
    stack = Stack(app, "Stack", env=EU)
    bus = events.EventBus(other, "Theirs", event_bus_name="theirs")
    with pytest.raises(ValueError, match=r"^event_bus=Other/Theirs: it is in us-east-1"):
        BusRule(stack, "Rule", event_bus=bus, function=function(stack), event_pattern=ORDERS)


@pytest.mark.parametrize("mutable", [True, False])
@pytest.mark.parametrize("account", ["123456789012", "222222222222"])
def test_a_role_whose_policy_cannot_be_changed_here_is_a_warning(account: str, *, mutable: bool) -> None:
    stack = stack_in_eu()
    role = iam.Role.from_role_arn(stack, "Theirs", f"arn:aws:iam::{account}:role/r", mutable=mutable)
    EventBus(stack, "Shop").grant_put_events(role)
    given = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    text = Match.string_like_regexp(
        "Stack/Theirs is of another account or immutable.*events:PutEvents on Stack/Shop"
    )
    if given:
        Annotations.from_stack(stack).has_no_warning("*", text)
    else:
        Annotations.from_stack(stack).has_warning("*", text)
    assert bool(given) == (mutable and account == EU.account)


def test_a_bus_of_another_account_has_policy_rules_and_archive_there() -> None:
    stack = stack_in_eu()
    theirs = events.EventBus.from_event_bus_arn(
        stack, "B", ARN.format("events", EU.region, "1" * 12, "event-bus/b")
    )
    with pytest.raises(ValueError, match=r"^event_bus=arn.*: it is in 111111111111"):
        EventBus(stack, "Shop", event_bus=theirs).grant_put_events_to_account("111122223333")
    with pytest.raises(ValueError, match=r"^event_bus=arn.*: it is in 111111111111"):
        EventBus(stack, "Ruled", event_bus=theirs).add_function("Rule", function(stack), event_pattern=ORDERS)
    with pytest.raises(ValueError, match=r"^event_bus=arn.*: it is in 111111111111"):
        EventBus(stack, "Archived", event_bus=theirs, archive_retention=Duration.days(1))
