"""API destinations: the retries of their calls, and the ARN of a connection.

The emulator calls the endpoint once, and an event that it does not take is lost. The ARNs of its connections
lack the identifier at the end, without which CreateApiDestination refuses them.

Faithful to:
- An endpoint that answers 401, 407, 409, 429 or 5xx, or not at all, is called again with growing pauses until
  RetryPolicy ends, by default after 185 retries or 24 hours. EXHAUSTED_RETRY_CONDITION in the dead-letter
  queue then says which of the two it was. After any other error the event goes there at once.
- A destination that is not active, or without an authorised connection, is not called.
Not to: the time between retries, which doubles from a quarter of a minute and is shortened like every minute
(see `pace`); Retry-After; the rate limit.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Connection.html
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region, json_response
from ministack.services import eventbridge

from localaws.pace import shortened
from localaws.patching import Properties, around, replaces
from localaws.services.events.targets import Delivery, under_way
from localaws.services.iam.invocations import in_account_of

logger = logging.getLogger("localaws.events")

_POLICY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400}
_FIRST_RETRY, _LAST_RETRY = 15.0, 3600.0
_RETRIED = (401, 407, 409, 429)


@around(eventbridge, "_create_connection")
def _create_connection(stock: Callable[[Properties], Any], data: Properties) -> Any:
    status, headers, body = stock(data)
    if status >= 300:
        return status, headers, body
    connection = eventbridge._connections[data["Name"]]
    connection["ConnectionArn"] += f"/{uuid.uuid4()}"
    return json_response({**json.loads(body), "ConnectionArn": connection["ConnectionArn"]})


@replaces(eventbridge, "_dispatch_to_api_destination")
def _dispatch_to_api_destination(spec: Any, payload: str, target: Properties) -> None:
    delivery = under_way.get()
    destination = eventbridge._api_destinations[spec.resource.split("/")[1]]
    connection = eventbridge._connections.get(destination["ConnectionArn"].split("/")[1]) or {}
    states = destination["ApiDestinationState"], connection.get("ConnectionState")
    if states != ("ACTIVE", "AUTHORIZED"):
        delivery.give_up("SDK_CLIENT_ERROR", f"{delivery.arn} and its connection are {states}")
        return
    parameters = target.get("HttpParameters") or {}
    request = eventbridge._build_api_destination_request(destination, connection, parameters, payload)
    key = (get_account_id(), get_region(), connection["Name"])
    arguments = (delivery, request, copy.deepcopy(connection), key)
    threading.Thread(target=_deliver, args=arguments, daemon=True, name="localaws-api-destination").start()


def _deliver(delivery: Delivery, request: Properties, connection: Properties, token_key: Any) -> None:
    """Call the endpoint until it succeeds or the retry policy ends."""
    policy = {**_POLICY, **(delivery.target.get("RetryPolicy") or {})}
    deadline = time.monotonic() + shortened(policy["MaximumEventAgeInSeconds"])
    for attempt in itertools.count():
        status = _call(request, connection, token_key)
        if 200 <= status < 300:
            return
        wait, exhausted = shortened(min(_FIRST_RETRY * 2**attempt, _LAST_RETRY)), ""
        if attempt >= policy["MaximumRetryAttempts"]:
            exhausted = "MaximumRetryAttempts"
        elif time.monotonic() + wait > deadline:
            exhausted = "MaximumEventAgeInSeconds"
        is_final = 0 < status < 500 and status not in _RETRIED
        if is_final or exhausted:
            break
        time.sleep(wait)
    code = "THROTTLING" if status == 429 else "SDK_CLIENT_ERROR" if status else "CONNECTION_FAILURE"
    message = f"{delivery.arn} answered with HTTP status {status}" if status else f"{delivery.arn}: no answer"
    with in_account_of(delivery.rule_arn):
        delivery.give_up(code, message, attempt, "" if is_final else exhausted)


def _call(request: Properties, connection: Properties, token_key: Any) -> int:
    """The status of the answer; 0 without one."""
    is_oauth = connection.get("AuthorizationType") == "OAUTH_CLIENT_CREDENTIALS"
    try:
        headers = eventbridge._connection_auth_headers(connection, token_key)
        status = eventbridge._api_destination_send_sync(request, headers)
        if status in (401, 407) and is_oauth:
            headers = eventbridge._connection_auth_headers(connection, token_key, force_refresh=True)
            status = eventbridge._api_destination_send_sync(request, headers)
    except Exception as error:
        logger.warning("%s: %s", request["url"], error)
        return 0
    return int(status)
