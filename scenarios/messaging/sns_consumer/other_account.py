"""A topic of another account: each side must allow the subscription and the invocation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, Story, require
from scenarios.messaging.sns_consumer.notices import Notices
from scenarios.support.other_account import administrator_of, make_member


def subscribe_to_their_topic(stack: DeployedStack, notices: Notices, story: Story) -> None:
    """With the permission of its owner only, and of this account only, nothing arrives; with both it does."""
    _, account = make_member(stack)
    theirs = stack.session.client("sns", **administrator_of(stack, account))
    topic = theirs.create_topic(Name=f"theirs-{uuid4().hex[:8]}")["TopicArn"]
    client, function = stack.client("lambda"), stack.output("UrgentFunctionName")
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    here, statement = arn.split(":")[4], f"drill{uuid4().hex[:8]}"
    subscription: Mapping[str, Any] = {"TopicArn": topic, "Protocol": "lambda", "Endpoint": arn}
    made = ""
    try:
        try:
            stack.client("sns").subscribe(**subscription)
            refused = "accepted"
        except ClientError as error:
            refused = error.response["Error"]["Code"]
        require(refused == "AuthorizationError", f"without the permission of its owner: {refused}")
        theirs.add_permission(TopicArn=topic, Label="drill", AWSAccountId=[here], ActionName=["Subscribe"])
        made = stack.client("sns").subscribe(**subscription, ReturnSubscriptionArn=True)["SubscriptionArn"]

        def publish() -> str:
            body = json.dumps({"run": notices.run_id, "text": "from another account"})
            return str(theirs.publish(TopicArn=topic, Message=body)["MessageId"])

        lost = publish()
        client.add_permission(
            FunctionName=function,
            StatementId=statement,
            Action="lambda:InvokeFunction",
            Principal="sns.amazonaws.com",
            SourceArn=topic,
        )
        notices.wait_for("Urgent", publish())
        require(lost not in notices.stored("Urgent"), "it was invoked without the permission of the function")
        client.remove_permission(FunctionName=function, StatementId=statement)
    finally:
        if made:
            stack.client("sns").unsubscribe(SubscriptionArn=made)
        theirs.delete_topic(TopicArn=topic)
    story.fact("without the permission of the topic", refused)
    story.say("A topic of another account: its owner must allow the subscription, the function the topic.")
