"""A topic with a filter policy for each of two queues, and a function on a third subscription.

https://github.com/cdk-patterns/serverless/tree/main/the-big-fan
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class BigFanStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        topic = sns.Topic(self, "Orders", display_name="Orders of the shop")
        created = sqs.Queue(self, "Created", visibility_timeout=cdk.Duration.seconds(300))
        others = sqs.Queue(self, "Others")
        topic.add_subscription(
            subscriptions.SqsSubscription(
                created,
                raw_message_delivery=True,
                filter_policy={"status": sns.SubscriptionFilter.string_filter(allowlist=["created"])},
            )
        )
        topic.add_subscription(
            subscriptions.SqsSubscription(
                others, filter_policy={"status": sns.SubscriptionFilter.string_filter(denylist=["created"])}
            )
        )
        audit = lambda_.Function(
            self,
            "Audit",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(
                "def handler(event, context):\n    print('audited', event['Records'][0]['Sns']['Message'])\n"
            ),
        )
        topic.add_subscription(
            subscriptions.LambdaSubscription(audit, dead_letter_queue=sqs.Queue(self, "Unaudited"))
        )
        cdk.CfnOutput(self, "TopicArn", value=topic.topic_arn)
        cdk.CfnOutput(self, "CreatedUrl", value=created.queue_url)
        cdk.CfnOutput(self, "OthersUrl", value=others.queue_url)
        cdk.CfnOutput(self, "AuditName", value=audit.function_name)


app = cdk.App()
BigFanStack(app, "the-big-fan")
app.synth()
