"""Saved queries of CloudWatch Logs Insights on the logs of the functions.

The report of an invocation is ``platform.report`` in JSON logs, and a ``REPORT`` line in others, of which
Insights discovers ``@duration`` and the like:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
"""

from collections.abc import Sequence

from aws_cdk import Aws, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct

_REPORTS = """filter type = "platform.report" or @type = "REPORT"
| fields coalesce(record.metrics.durationMs, @duration) as duration_ms,
  coalesce(record.metrics.initDurationMs, @initDuration) as init_ms
"""
#: The text of each query by its name.
QUERIES = {
    # Logs in JSON have a level. A word in the message of one is not that.
    "Errors": """filter level in ["ERROR", "CRITICAL", "FATAL"]
  or @message like /Task timed out|Runtime exited/
  or (not ispresent(level) and @message like /\\b(ERROR|CRITICAL|FATAL)\\b/)
| display @timestamp, @log, @message
| sort @timestamp desc
| limit 50""",
    "Slowest invocations": f"""{_REPORTS}| display @timestamp, @log, duration_ms, init_ms
| sort duration_ms desc
| limit 20""",
    "Durations": f"""{_REPORTS}| stats count(*) as invocations, pct(duration_ms, 50) as p50,
  pct(duration_ms, 99) as p99, max(duration_ms) as longest by @log""",
    "Cold starts": f"""{_REPORTS}| filter ispresent(init_ms)
| stats count(*) as cold_starts, avg(init_ms) as average_ms by @log""",
}
_MOST_GROUPS = 50  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html


def save_queries(scope: Construct, log_groups: Sequence[str]) -> list[logs.CfnQueryDefinition]:
    """Save the queries, each for at most 50 log groups.

    Args:
        scope: The parent.
        log_groups: The names of the log groups.
    """
    path = scope.node.path.removeprefix(f"{Stack.of(scope).node.path}/")
    parts = [log_groups[at : at + _MOST_GROUPS] for at in range(0, len(log_groups), _MOST_GROUPS)]
    return [
        logs.CfnQueryDefinition(
            scope,
            f"{name.title().replace(' ', '')}Query{number or ''}",
            # A folder for each stack and construct: other names would be mixed with those of other stacks.
            name=f"{Aws.STACK_NAME}/{path}/{name}{f' {number + 1}' if number else ''}",
            query_string=text,
            log_group_names=[*part],
        )
        for name, text in QUERIES.items()
        for number, part in enumerate(parts)
    ]
