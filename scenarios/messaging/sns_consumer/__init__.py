"""Publishes notices with attributes and bodies, uploads an object, and makes each way of delivery fail."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.messaging.sns_consumer.notices import CONSUMERS, Notices
from scenarios.messaging.sns_consumer.other_account import subscribe_to_their_topic
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_ACTION = "dynamodb:PutItem"


def run(stack: DeployedStack) -> Outcome:
    """Each function gets what its filter lets pass; a bad message is in its failure queue only.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A topic, filters, and a bucket that publishes", stack.tell)
    with closing(Notices(stack)) as notices:
        sent = {
            (severity, cents): notices.publish(severity=severity, cents=cents)
            for severity in ("high", "low")
            for cents in (10, 5000)
        }
        expected = {
            "Urgent": {sent[one] for one in sent if one[0] == "high"},
            "Large": {sent[one] for one in sent if one[1] == 5000},
        }
        bad = notices.publish(text="")
        key = notices.upload("cat & dog.jpg")
        for consumer, ids in expected.items():
            notices.wait_for(consumer, *ids)
        notices.wait_for_text("Uploads", f"uploaded {key}")
        story.say("Published four notices, and uploaded an object, which S3 published.")
        (failed,) = notices.failed["Urgent"].wait_for(1)
        require(failed.event["Records"][0]["Sns"]["MessageId"] == bad, f"the failure queue has {failed}")
        require((failed.condition, failed.attempts) == ("RetriesExhausted", 3), f"it has {failed}")
        for consumer, ids in expected.items():
            seen = set(notices.stored(consumer)) & {*sent.values(), bad}
            require(seen == ids, f"{consumer} has stored {len(seen)} notices instead of {len(ids)}")
            require(not notices.undelivered[consumer].poll(), f"{consumer}: a message was not delivered")
            story.fact(f"{consumer} stored", len(seen))
        story.say("By attribute, a function got the two urgent ones; by body, another the two large ones.")
        story.fact("attempts of the bad notice", failed.attempts or 0)
        story.say("A bad notice was tried three times, and is in the failure queue of the function.")
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """SNS cannot deliver, the function fails, and a topic of another account.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Two queues for two ways to fail", stack.tell)
    with closing(Notices(stack)) as notices:
        function = stack.output("UrgentFunctionName")
        with faults.not_admitting(function, "sns.amazonaws.com"):
            undelivered = notices.publish()
            (letter,) = notices.undelivered["Urgent"].wait_for(1)
        require(undelivered in letter["Body"], f"the dead-letter queue of the subscription has {letter}")
        require(not notices.failed["Urgent"].poll(), "the function failed without an invocation")
        story.fact("undelivered", 1)
        story.say("Without the permission of SNS: the message is a dead letter of the subscription.")
        with faults.without_permission(faults.role_of(function), _ACTION):
            failed = notices.publish()
            (record,) = notices.failed["Urgent"].wait_for(1)
        require(record.event["Records"][0]["Sns"]["MessageId"] == failed, f"the failure queue has {record}")
        require(len(notices.undelivered["Urgent"].poll()) == 1, "a delivered message is a dead letter")
        story.fact("failed", 1)
        story.say("Without a permission of the function: the message is in the function's failure queue.")
        require(not notices.stored("Urgent").keys() & {undelivered, failed}, "a lost message is stored")
        story.fact("redriven", notices.redrive("Urgent"))
        notices.wait_for("Urgent", undelivered, failed)
        story.say("Restored both and redrove both queues: both messages are stored.")
        _refuse_s3(stack, notices, story)
        subscribe_to_their_topic(stack, notices, story)
    return story.outcome()


def _refuse_s3(stack: DeployedStack, notices: Notices, story: Story) -> None:
    """Without the statement for the bucket in the topic's policy, S3 publishes nothing."""
    sns, bucket = stack.client("sns"), stack.output("BucketName")
    found = stack.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    topic = found["TopicConfigurations"][0]["TopicArn"]
    before = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    require("aws:SourceAccount" in before and bucket in before, f"the policy of the topic is {before}")
    closed = before.replace(f":::{bucket}", ":::another-bucket")
    set_policy = partial(sns.set_topic_attributes, TopicArn=topic, AttributeName="Policy")
    set_policy(AttributeValue=closed)
    try:
        refused = notices.upload("refused.jpg")
    finally:
        set_policy(AttributeValue=before)
    notices.wait_for_text("Uploads", f"uploaded {notices.upload('allowed.jpg')}")
    require([f"uploaded {refused}"] not in notices.stored("Uploads").values(), "S3 published without it")
    story.fact("refused uploads", 1)
    story.say("S3 publishes for the bucket that the topic's policy names, and for no other.")


def smoke(stack: DeployedStack, consumer: str) -> None:
    """Exercise each permission of a function, unless it fails.

    Raises:
        ScenarioFailed: The notice was not stored.
    """
    with closing(Notices(stack)) as notices:
        if consumer == "Uploads":
            notices.wait_for_text(consumer, f"uploaded {notices.upload('smoke.jpg')}")
        else:
            notices.wait_for(consumer, notices.publish(cents=5000))


EVENT = BilledEvent("a message that concerns every consumer", partial(smoke, consumer="Urgent"))

ROLES = tuple(
    # Only events that failed permanently are sent to the failure queue; `run` has one.
    Covered(
        f"{name}FunctionName",
        partial(smoke, consumer=name),
        only_for_failures=frozenset({"sqs:SendMessage"}),
        takes_long=name != "Urgent",
    )
    for name in CONSUMERS
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the table, the queues and the bucket, and the statements that a drill has added."""
    objects = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    policy = stack.client("lambda").get_policy(FunctionName=stack.output("UrgentFunctionName"))["Policy"]
    added = ["a statement of a drill"] if '"drill' in policy else []
    return [*left.in_tables(stack), *left.in_queues(stack), *(one["Key"] for one in objects), *added]
