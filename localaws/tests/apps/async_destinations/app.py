"""A function that is invoked by a topic: successes go to a bus, failures to a queue; another has a DLQ.

https://github.com/cdk-patterns/serverless/tree/main/the-destined-lambda
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

CODE = """
def handler(event, context):
    if event["Records"][0]["Sns"]["Message"] == "please fail":
        raise ValueError("failed as asked")
    return {"eventType": "success", "action": "message"}
"""
FAILS = "def handler(event, context):\n    raise RuntimeError('always')\n"


class DestinedLambdaStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bus = events.EventBus(self, "Bus", event_bus_name="the-destined-lambda")
        failures, successes, dead = (sqs.Queue(self, name) for name in ("Failures", "Successes", "Dead"))
        common = {"runtime": lambda_.Runtime.PYTHON_3_13, "handler": "index.handler", "retry_attempts": 0}
        destined = lambda_.Function(
            self,
            "Destined",
            code=lambda_.Code.from_inline(CODE),
            on_success=destinations.EventBridgeDestination(bus),
            on_failure=destinations.SqsDestination(failures),
            **common,
        )
        topic = sns.Topic(self, "Topic")
        topic.add_subscription(subscriptions.LambdaSubscription(destined))
        pattern = events.EventPattern(
            detail={
                "requestContext": {"condition": ["Success"]},
                "responsePayload": {"eventType": ["success"]},
            }
        )
        rule = events.Rule(self, "Rule", event_bus=bus, event_pattern=pattern)
        rule.add_target(targets.SqsQueue(successes))
        lambda_.Function(
            self,
            "Unlucky",
            function_name="unlucky",
            code=lambda_.Code.from_inline(FAILS),
            dead_letter_queue=dead,
            **common,
        )
        cdk.CfnOutput(self, "TopicArn", value=topic.topic_arn)
        for name, queue in {"Failures": failures, "Successes": successes, "Dead": dead}.items():
            cdk.CfnOutput(self, f"{name}Url", value=queue.queue_url)


app = cdk.App()
DestinedLambdaStack(app, "the-destined-lambda")
app.synth()
