"""Lists what a scenario left behind in the tables and queues of a stack."""

from __future__ import annotations

from scenarios.framework import DeployedStack

_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


def in_tables(stack: DeployedStack) -> list[str]:
    """Return a line for each item in the tables that are outputs of the stack (``…TableName``)."""
    return [
        f"{name}: {item}"
        for name, table in stack.outputs.items()
        if name.endswith("TableName")
        for item in stack.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
    ]


def in_queues(stack: DeployedStack) -> list[str]:
    """Return a line for each queue with messages among the outputs of the stack (``…QueueUrl``)."""
    found = []
    for name, url in stack.outputs.items():
        if name.endswith("QueueUrl"):
            answer = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
            messages = sum(int(answer["Attributes"][count]) for count in _COUNTS)
            found += [f"{name}: {messages} messages"] if messages else []
    return found
