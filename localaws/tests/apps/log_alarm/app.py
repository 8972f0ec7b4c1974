"""A metric of error lines in a log, an alarm on it, and a topic that the alarm notifies; with a dashboard.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_logs/README.html
https://github.com/cdk-patterns/serverless/tree/main/the-cloudwatch-dashboard
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class LogAlarmStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_WEEK, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context):\n    print(event['line'])\n"),
            log_group=log_group,
        )
        errors = log_group.add_metric_filter(
            "ErrorFilter",
            filter_pattern=logs.FilterPattern.any_term("ERROR", "CRITICAL"),
            metric_namespace="Shop",
            metric_name="ErrorLines",
            default_value=0,
        ).metric(statistic="sum", period=cdk.Duration.minutes(1))
        alarm = errors.create_alarm(
            self,
            "Alarm",
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        )
        topic = sns.Topic(self, "Pager")
        inbox = sqs.Queue(self, "Inbox")
        topic.add_subscription(subscriptions.SqsSubscription(inbox))
        alarm.add_alarm_action(actions.SnsAction(topic))
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(cloudwatch.GraphWidget(title="Errors", left=[errors, function.metric_errors()]))
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)
        cdk.CfnOutput(self, "InboxUrl", value=inbox.queue_url)
        cdk.CfnOutput(self, "AlarmName", value=alarm.alarm_name)


app = cdk.App()
LogAlarmStack(app, "LogAlarmStack")
app.synth()
