"""Access logs of stages: a line for each request in the log group of the stage.

The emulator keeps the settings and writes nothing.

Faithful to: the format with its `$context` variables, of which one without a value is `-`; the log group must
exist. A REST API writes with the role of the account's settings, which must trust API Gateway and may put log
events.
Not to: delivery streams as destination; the names of log streams; execution logs. Values in a JSON format are
escaped, so that each line is JSON.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import apigateway_v1, cloudwatch_logs

from localaws.services.apigateway import exchanges
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response
from localaws.services.iam.roles import role_allows, role_trusts

logger = logging.getLogger("localaws.apigateway")

_VARIABLE = re.compile(r"\$context\.([A-Za-z][\w:-]*(?:\.[\w:-]+)*)")
_LOG_GROUP = re.compile(
    r"arn:[a-z-]+:logs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):log-group:(?P<name>[^:]+)(:\*)?"
)
_STREAM = secrets.token_hex(16)


def write(exchange: Exchange, response: Response) -> None:
    """Write the line of a request, if its stage has an access log."""
    settings = exchange.stage.get("accessLogSettings") or {}
    destination = _LOG_GROUP.fullmatch(str(settings.get("destinationArn") or ""))
    if not destination or not settings.get("format"):
        return
    if exchange.kind == "rest" and not _may_log(exchange, destination[0].removesuffix(":*")):
        logger.warning("the CloudWatch role of the account may not write to %s", destination[0])
        return
    line = _line(settings["format"], exchanges.variables(exchange, response))
    with request_scope(destination["account"], destination["region"]):
        if destination["name"] not in cloudwatch_logs._log_groups:
            logger.warning("%s: there is no such log group", destination[0])
            return
        place = {"logGroupName": destination["name"], "logStreamName": _STREAM}
        cloudwatch_logs._create_log_stream(place)
        events = [{"timestamp": int(time.time() * 1000), "message": line}]
        cloudwatch_logs._put_log_events({**place, "logEvents": events})


def _may_log(exchange: Exchange, group: str) -> bool:
    with request_scope(exchange.account, exchange.region):
        settings = apigateway_v1._account_settings.get("settings") or {}
        role = str(settings.get("cloudwatchRoleArn") or "")
        allowed = role_allows(role, "logs:PutLogEvents", f"{group}:log-stream:{_STREAM}")
        return allowed and role_trusts(role, "apigateway.amazonaws.com")


def _line(template: str, values: dict[str, Any]) -> str:
    is_json = template.lstrip().startswith("{")

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1])
        text = str(found).lower() if isinstance(found, bool) else "-" if found in (None, "") else str(found)
        quoted = match[1].endswith(("messageString", "validationErrorString"))
        return json.dumps(text, ensure_ascii=False)[1:-1] if is_json and not quoted else text

    return _VARIABLE.sub(value, template)
