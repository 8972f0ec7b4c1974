"""Schedules of EventBridge Scheduler: one that recurs for a function, and one for a queue.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_scheduler/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class SchedulesStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        function = lambda_.Function(
            self,
            "Report",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context):\n    print('report', event)\n"),
        )
        group = scheduler.ScheduleGroup(self, "Group", removal_policy=cdk.RemovalPolicy.DESTROY)
        scheduler.Schedule(
            self,
            "Recurring",
            schedule_group=group,
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.minutes(1)),
            target=targets.LambdaInvoke(
                function,
                input=scheduler.ScheduleTargetInput.from_object({"kind": "minutely"}),
                max_event_age=cdk.Duration.hours(1),
                retry_attempts=3,
                dead_letter_queue=sqs.Queue(self, "DeadLetters"),
            ),
            description="Reports every minute",
        )
        reminders = sqs.Queue(self, "Reminders")
        scheduler.Schedule(
            self,
            "Daily",
            schedule=scheduler.ScheduleExpression.cron(
                minute="30", hour="8", time_zone=cdk.TimeZone.EUROPE_BERLIN
            ),
            time_window=scheduler.TimeWindow.flexible(cdk.Duration.minutes(15)),
            target=targets.SqsSendMessage(reminders),
        )
        cdk.CfnOutput(self, "ReportName", value=function.function_name)
        cdk.CfnOutput(self, "GroupName", value=group.schedule_group_name)


app = cdk.App()
SchedulesStack(app, "SchedulesStack")
app.synth()
