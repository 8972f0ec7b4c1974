"""All events of a bus are written to a log group, as one does to look for what arrives.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_events_targets/README.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-debug.html
"""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from constructs import Construct


class EventLogStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bus = events.EventBus(self, "Bus")
        log = logs.LogGroup(
            self, "Log", log_group_name="/aws/events/all", removal_policy=cdk.RemovalPolicy.DESTROY
        )
        everything = events.EventPattern(account=[self.account])
        rule = events.Rule(self, "All", event_bus=bus, event_pattern=everything)
        rule.add_target(targets.CloudWatchLogGroup(log))
        cdk.CfnOutput(self, "BusName", value=bus.event_bus_name)
        cdk.CfnOutput(self, "LogName", value=log.log_group_name)


app = cdk.App()
EventLogStack(app, "EventLogStack")
app.synth()
