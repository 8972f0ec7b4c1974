"""A scheduled time → its report, once; while one run works, others fail, and Lambda tries them again.

Scheduler and Lambda deliver at least once, and Lambda again after an error, a crash or a timeout. The
scheduled time, not the clock, says which run it is: a duplicate finds that the run is done. A lease keeps two
runs from working at the same time. A crash leaves the lease, and it expires when the crashed run would have
been ended at the latest.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .reports import Reports, Run
    from .runs import Runs

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# The clocks of two hosts of Lambda differ by less.
_CLOCKS_DIFFER = 1.0

reports = Reports(_dynamodb, os.environ["TABLE_NAME"])
runs = Runs(_dynamodb, os.environ["RUNS_TABLE_NAME"], os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Write the report of a scheduled time, unless its run is done."""
    run = Run.parse(event)
    logger.append_keys(scheduled_time=run.scheduled_time, execution_id=run.execution_id)
    lease = context.get_remaining_time_in_millis() / 1000 + _CLOCKS_DIFFER
    outcome: str = runs.start(run.scheduled_time, seconds=lease)
    if outcome == "started":
        try:
            if reports.write(run):
                time.sleep(run.pause)
        except Exception:
            runs.release()  # or the retry would wait for the lease
            raise
        runs.finish(run.scheduled_time)
        outcome = "done"
    logger.info("run ended", outcome=outcome)
    return {"scheduled_time": run.scheduled_time, "outcome": outcome}
