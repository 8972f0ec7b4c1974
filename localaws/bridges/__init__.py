"""What the emulator lacks, one file a service.

Each module has `install()`, which is called in the server's process before the emulator starts, and a
docstring that says what the bridge is faithful to, what it is not, and which AWS page it follows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

# In this order. A bridge may rely on those before it.
BRIDGES = (
    "lambda_",
    "s3",
    "dynamodb",
    "secretsmanager",
    "iam",
    "iam_functions",
    "codedeploy",
    "iam_deployments",
    "iam_state_machines",
    "iam_invocations",
    "iam_s3",
    "s3_events",
    "s3_listing",
    "eventbridge_targets",
    "eventbridge_archives",
    "scheduler",
    "iam_batches",
    "sns",
    "event_sources",
    "sqs_sources",
    "sqs_redrive",
    "streams",
    "streams_consumers",
    "node_sdk",
    "custom_resources",
    "cloudformation",
    "cloudwatch_data",
    "cloudwatch_alarms",
    "cloudwatch_alarm_resources",
    "ec2",
    "ec2_endpoints",
    "rds",
    "rds_actions",
    "rds_managed_secrets",
    "rds_function_tokens",
    "rds_proxy",
    "rds_proxy_resources",
    "secretsmanager_rotation",
    "alb",
)

# Called after the emulator's own reset. A bridge that keeps state of its own appends a function here.
reset_hooks: list[Callable[[], None]] = []


def install_all() -> None:
    """Install every bridge, in order."""
    for name in BRIDGES:
        importlib.import_module(f"{__name__}.{name}").install()
