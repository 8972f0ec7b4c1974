"""A bus of its own with an archive: transactions go to the functions whose pattern they match.

https://github.com/cdk-patterns/serverless/tree/main/the-eventbridge-atm
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_events/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class AtmStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bus = events.EventBus(self, "Bus", event_bus_name="atm")
        bus.archive(
            "Archive",
            event_pattern=events.EventPattern(source=["custom.atm"]),
            retention=cdk.Duration.days(30),
        )
        approved = lambda_.Function(
            self,
            "Approved",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(
                "def handler(event, context):\n    print('approved', event['detail']['amount'])\n"
            ),
        )
        rule = events.Rule(
            self,
            "ApprovedRule",
            event_bus=bus,
            event_pattern=events.EventPattern(
                source=["custom.atm"],
                detail_type=["transaction"],
                detail={"result": ["approved"], "location": events.Match.prefix("NY-")},
            ),
        )
        rule.add_target(
            targets.LambdaFunction(
                approved,
                dead_letter_queue=sqs.Queue(self, "DeadLetters"),
                max_event_age=cdk.Duration.hours(2),
            )
        )
        large = sqs.Queue(self, "Large")
        big = events.EventPattern(detail={"amount": events.Match.greater_than(1000)})
        events.Rule(self, "LargeRule", event_bus=bus, event_pattern=big).add_target(
            targets.SqsQueue(
                large,
                message=events.RuleTargetInput.from_text(
                    f"{events.EventField.from_path('$.detail.amount')} at "
                    f"{events.EventField.from_path('$.detail.location')}"
                ),
            )
        )
        cdk.CfnOutput(self, "ApprovedName", value=approved.function_name)
        cdk.CfnOutput(self, "LargeUrl", value=large.queue_url)


app = cdk.App()
AtmStack(app, "AtmStack")
app.synth()
