"""What the emulator lacks, one file a service.

Each module has `install()`, which is called in the server's process before the emulator starts, and a
docstring that says what the bridge is faithful to, what it is not, and which AWS page it follows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

# In this order. A bridge may rely on those before it.
BRIDGES = (
    "localaws.services.lambda_",
    "localaws.services.s3.buckets",
    "localaws.services.dynamodb.tables",
    "localaws.services.secretsmanager.secrets",
    "localaws.services.iam.evaluation",
    "localaws.services.iam.functions",
    "localaws.services.codedeploy.service",
    "localaws.services.iam.deployments",
    "localaws.services.stepfunctions.execution_role",
    "localaws.services.iam.invocations",
    "localaws.services.s3.permissions",
    "localaws.services.s3.events",
    "localaws.services.s3.listing",
    "localaws.services.events.targets",
    "localaws.services.events.archives",
    "localaws.services.scheduler.schedules",
    "localaws.services.iam.batches",
    "localaws.services.lambda_.event_source_mappings",
    "localaws.services.lambda_.sqs_event_source",
    "localaws.services.lambda_.stream_event_source",
    "localaws.services.kinesis.consumers",
    "localaws.engines.node_sdk.relay",
    "localaws.services.cloudformation.custom_resources",
    "localaws.services.cloudformation.stacks",
    "localaws.services.cloudwatch.data",
    "localaws.services.cloudwatch.alarms",
    "localaws.services.cloudwatch.alarm_resources",
    "localaws.services.ec2.networks",
    "localaws.services.ec2.endpoints",
    "localaws.services.rds.instances",
    "localaws.services.rds.actions",
    "localaws.services.rds.managed_secrets",
    "localaws.services.rds.iam_tokens",
    "localaws.services.rds.proxies",
    "localaws.services.rds.proxy_resources",
    "localaws.services.secretsmanager.rotation",
    "localaws.services.elbv2.targets",
)

# Called after the emulator's own reset. A bridge that keeps state of its own appends a function here.
reset_hooks: list[Callable[[], None]] = []


def install_all() -> None:
    """Install every bridge, in order."""
    for name in BRIDGES:
        importlib.import_module(name).install()
