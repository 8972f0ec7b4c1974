"""A function that a rule starts every minute, with an input of its own.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/lambda-cron
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_


class LambdaCronStack(cdk.Stack):
    def __init__(self, app: cdk.App, id: str) -> None:
        super().__init__(app, id)
        with open("lambda/index.py", encoding="utf8") as source:
            code = source.read()
        function = lambda_.Function(
            self,
            "Job",
            code=lambda_.InlineCode(code),
            handler="index.main",
            timeout=cdk.Duration.seconds(300),
            runtime=lambda_.Runtime.PYTHON_3_12,
        )
        nightly = events.Rule(
            self,
            "Nightly",
            schedule=events.Schedule.cron(minute="0", hour="18", month="*", week_day="MON-FRI", year="*"),
        )
        nightly.add_target(targets.LambdaFunction(function))
        often = events.Rule(self, "Often", schedule=events.Schedule.rate(cdk.Duration.minutes(1)))
        often.add_target(
            targets.LambdaFunction(
                function, event=events.RuleTargetInput.from_object({"job": "often"}), retry_attempts=2
            )
        )
        cdk.CfnOutput(self, "JobName", value=function.function_name)


app = cdk.App()
LambdaCronStack(app, "LambdaCronExample")
app.synth()
