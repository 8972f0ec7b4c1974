"""Instances behind load balancers: what a test says listens on them answers, and nothing else.

There are no machines here. The emulator takes the id of an instance for a host name, shows its own error
messages to clients, and reports every target as healthy.

Faithful to:
- What a test says listens on an instance answers (`elbv2.servers`). If nothing does: 502.
- 504 if the security groups of load balancer and instance do not allow the connection, or if the target does
  not answer in time. 503 without a target. Error pages do not give the reason, which is in the server's log.
- Requests go to healthy targets, and to all of them if none is healthy. A target that is not running gets
  none.

Not to: the choice between targets, which take turns, whatever the algorithm; the time until a connection
fails (10 seconds on AWS), which is none here.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import StreamingResponse
from ministack.services import alb

from localaws.patching import around
from localaws.services.elbv2.health import state_of
from localaws.services.elbv2.requests import error_page
from localaws.services.elbv2.servers import is_running, reaches, server_of

logger = logging.getLogger("localaws.alb")
_turns = itertools.count()


@around(alb, "_forward_to_tg", after=["elbv2.functions"])
async def _forward_to_tg(
    stock: Callable[..., Awaitable[Any]], tg_arn: str, method: str, path: str, *args: Any, **kwargs: Any
) -> Any:
    if alb._tgs.get(tg_arn, {}).get("TargetType") != "instance":
        return await stock(tg_arn, method, path, *args, **kwargs)
    running = [target for target in alb._targets.get(tg_arn, []) if is_running(target["Id"])]
    if not running:
        return error_page(503, "Service Temporarily Unavailable")
    healthy = [target for target in running if state_of(tg_arn, target["Id"]) == "healthy"]
    choice = healthy or running
    target = choice[next(_turns) % len(choice)]
    server = server_of(target["Id"], tg_arn)
    if not reaches(tg_arn, target):
        logger.warning("504 from %s: no security group allows the connection to %s", tg_arn, target["Id"])
        return error_page(504, "Gateway Time-out")
    if server is None:
        logger.warning("502 from %s: nothing listens on %s; aws.instances_answer", tg_arn, target["Id"])
        return error_page(502, "Bad Gateway")
    return await _proxied(tg_arn, server, method, path, *args, **kwargs)


async def _proxied(
    group: str,
    server: tuple[str, int],
    method: str,
    path: str,
    headers: Any,
    body: Any,
    query_params: Any,
    raw_query_string: str | None = None,
    raw_path: str | None = None,
) -> Any:
    host, port = server
    address, record = {"Id": host, "Port": port}, alb._tgs[group]
    response = await alb._proxy_http_target(
        address, record, method, raw_path or path, headers, body, query_params, raw_query_string
    )
    if isinstance(response[2], StreamingResponse):
        return response
    logger.warning("no response of a target of %s: %s", group, response[2])
    late = b"timed out" in response[2]
    return error_page(504, "Gateway Time-out") if late else error_page(502, "Bad Gateway")
