"""`redrive ID`: sends the events in a deployed stack's failure queues to their functions again.

Events that failed permanently (a file that is not a picture) are sent again, too. Their reasons are printed;
they return to the queue unless their cause is fixed.
"""

from __future__ import annotations

import sys

from botocore.exceptions import BotoCoreError, ClientError

from scenarios.framework import DeployedStack
from scenarios.support.redrive import RedriveReport, redrive
from tasks import console
from tasks.account import find_stack
from tasks.commands import parse
from tasks.errors import TaskError

_FUNCTION, _QUEUE = "FunctionName", "FailureQueueUrl"
# Of a subscription: what SNS could not deliver to the function.
_UNDELIVERED = "UndeliveredQueueUrl"


def main(arguments: list[str]) -> int:
    """Redrive, and tell what was done."""
    options = parse("redrive", arguments)
    try:
        stack = find_stack(options.stack or options.id)
        print("\n".join(summary(run(stack, options.limit, options.dry_run), options.dry_run)))
    except (TaskError, ClientError, BotoCoreError) as error:
        print(f"run.py redrive: {error}", file=sys.stderr)
        return 1
    return 0


def run(stack: DeployedStack, limit: int, dry_run: bool) -> RedriveReport:
    """Redrive each failure queue of a stack.

    Raises:
        TaskError: The stack has no failure queue of an asynchronous function.
    """
    functions = [name.removesuffix(_FUNCTION) for name in stack.outputs if name.endswith(_FUNCTION)]
    both = [
        (name, f"{name}{queue}")
        for name in functions
        for queue in (_QUEUE, _UNDELIVERED)
        if f"{name}{queue}" in stack.outputs
    ]
    if not both:
        raise TaskError(
            f"The stack {stack.name} has no failure queue of an asynchronous function (no output {_QUEUE}). "
            "See the failure modes on the page of the pattern: where failures are, and what to do about them."
        )
    total = RedriveReport()
    for name, queue in both:
        report = redrive(
            stack.session,
            queue_url=stack.outputs[queue],
            function_name=stack.outputs[f"{name}{_FUNCTION}"],
            limit=limit,
            dry_run=dry_run,
            tell=lambda line: print(f"  {line}"),
        )
        total.resent += report.resent
        total.left += report.left
        total.reasons += report.reasons
    return total


def summary(report: RedriveReport, dry_run: bool) -> list[str]:
    """The result, in lines for a person."""
    if not report.resent and not report.left:
        return ["The failure queue is empty."]
    lines = [f"{'Would be sent' if dry_run else 'Sent'} again: {report.resent}."]
    lines += [f"  {count} x {reason}" for reason, count in report.reasons.most_common()]
    if report.left:
        lines += [f"Left in the queue: {report.left.total()}."]
        lines += [f"  {count} x {reason}" for reason, count in report.left.most_common()]
    return lines


if __name__ == "__main__":
    console.start(main)
