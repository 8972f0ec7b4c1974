"""Amazon MQ brokers as event sources: reads a queue of a real broker and invokes a function with batches.

Amazon MQ has no brokers here, so a real one stands in for the record, for as long as
`LocalAws.with_broker` says so. Without one, a mapping polls nothing.

    queue of the broker -> batch -> function -> acknowledged, or returned as a whole

Faithful to: the user in the secret of the mapping; what the role of the function must allow, all the time
(`iam.functions`); batch size, batching window (500 ms unless it is set) and 6 MB of payload, whichever is
reached first; a message that is larger than that is dropped; filters on `data`; a batch is acknowledged after
the function has succeeded, and otherwise returned as a whole. A mapping that is disabled or deleted
disconnects. `StateTransitionReason` has the code of an error that stops it.
Not to: more than one batch at a time for ActiveMQ, where AWS has up to five; `kms:Decrypt` on the key of the
secret; the network of the broker. A mapping that was stopped by an error tries again each second.

https://docs.aws.amazon.com/lambda/latest/dg/process-messages-with-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/services-mq-params.html
https://docs.aws.amazon.com/lambda/latest/dg/with-mq-filtering.html
"""

from __future__ import annotations

import json
import logging
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import lambda_svc, mq, secretsmanager

from localaws.engines.brokers import Consumer, Login, Lost, Message, Refused, connect
from localaws.patching import around, on_reset
from localaws.services.lambda_.event_source_mappings import (
    MAX_PAYLOAD_BYTES,
    RETRY_DELAY,
    run_function,
    wake_in,
)

logger = logging.getLogger("localaws.mq")

_WINDOW = 0.5
# How long a poller waits before it looks whether its mapping still wants it.
_GLANCE = 0.1

_urls: dict[str, str] = {}
_pollers: dict[str, _Poller] = {}


def stand_in(arn: str, url: str | None) -> dict[str, str | None]:
    """Let a real broker stand in for a record, or end that.

    Args:
        arn: The ARN of the record.
        url: Where the real one is; `None` ends it.

    Returns:
        `refused`: why it cannot, `None` if it can; `before`: the URL of the one that stood in until now.
    """
    before, refused = _urls.get(arn), None if url is None else _refused(arn, url)
    if url is None:
        _urls.pop(arn, None)
    elif refused is None:
        _urls[arn] = url
    wake_in(0)
    return {"refused": refused, "before": before}


def _refused(arn: str, url: str) -> str | None:
    region, account = arn.split(":")[3:5]
    with request_scope(account, region):
        broker = next((one for one in mq._brokers.values() if one["brokerArn"] == arn), None)
    if broker is None:
        return f"the broker {arn} does not exist"
    scheme = {"RABBITMQ": "amqp", "ACTIVEMQ": "stomp"}[broker["engineType"]]
    if not url.startswith(f"{scheme}://"):
        return f"url={url!r}: {arn} is a broker of {broker['engineType']}; give {scheme}://HOST:PORT"
    return None


@on_reset
def _forget() -> None:
    _urls.clear()
    for poller in _pollers.values():
        poller.stopped.set()
    _pollers.clear()


@around(lambda_svc, "_poll_sqs", after=["lambda_.sqs_event_source"])
def _poll_all(stock: Callable[[], bool]) -> bool:
    """Start a poller for each mapping that has a broker, and stop those that are not wanted any longer.

    The next one starts when the one before has ended: a function that runs keeps its batch until then.
    """
    wanted = {}
    for account, region, mapping in lambda_svc._iter_all_esms() if _urls else ():
        url = _urls.get(mapping["EventSourceArn"])
        if url and mapping.get("Enabled", True):
            wanted[mapping["UUID"]] = (account, region, mapping, url)
    for mapping_id, poller in list(_pollers.items()):
        if mapping_id not in wanted or not poller.serves(wanted[mapping_id]):
            poller.stopped.set()
        if not poller.is_alive():
            del _pollers[mapping_id]
    for mapping_id in wanted.keys() - _pollers.keys():
        _pollers[mapping_id] = _Poller(*wanted[mapping_id])
        _pollers[mapping_id].start()
    return stock()


class _Poller(threading.Thread):
    """Reads the queue of a mapping, until that does not want it any longer or the broker ends it."""

    def __init__(self, account: str, region: str, mapping: dict[str, Any], url: str) -> None:
        super().__init__(name="localaws-broker", daemon=True)
        self._place, self._mapping, self._url = (account, region), mapping, url
        self._settings = _settings(mapping)
        self.stopped = threading.Event()
        self._next: Message | None = None

    def serves(self, given: tuple[str, str, dict[str, Any], str]) -> bool:
        """Whether it reads what is wanted."""
        _account, _region, mapping, url = given
        return (self._settings, self._url) == (_settings(mapping), url)

    def run(self) -> None:
        """Connect, and read until it is stopped."""
        mapping = self._mapping
        with request_scope(*self._place):
            try:
                with closing(connect(self._login())) as consumer:
                    mapping["StateTransitionReason"] = "USER_INITIATED"
                    while not self.stopped.is_set():
                        if batch := self._collect(consumer):
                            self._deliver(consumer, batch)
            except Refused as refused:
                mapping["StateTransitionReason"] = refused.code
                mapping["LastProcessingResult"] = f"PROBLEM: {refused}"
                logger.warning("%s: %s", mapping["EventSourceArn"], refused)
            except Lost as lost:
                mapping["LastProcessingResult"] = f"PROBLEM: {lost}"
                logger.info("%s: %s", mapping["EventSourceArn"], lost)
            except Exception as error:
                mapping["LastProcessingResult"] = f"PROBLEM: {error!r}"
                logger.exception("%s: the poller has failed", mapping["EventSourceArn"])
            finally:
                if self.stopped.is_set():
                    wake_in(_GLANCE)  # the next poller waits for the end of this one

    def _login(self) -> Login:
        access = _access(self._mapping)
        try:
            secret = json.loads(secretsmanager.resolve_secret_string(access["BASIC_AUTH"]))
            user, password = str(secret["username"]), str(secret["password"])
        except (KeyError, TypeError, ValueError) as error:
            reason = f"the secret has no username and password: {error!r}"
            raise Refused("EVENT_SOURCE_AUTHN_ERROR", reason) from None
        (queue,) = self._mapping["Queues"]
        host, size = access["VIRTUAL_HOST"], int(self._mapping["BatchSize"])
        return Login(self._url, user, password, queue, host, size)

    def _collect(self, consumer: Consumer) -> list[Message]:
        """The next batch: until it is full, its window ends, or the next message would be too much."""
        size = int(self._mapping["BatchSize"])
        window = float(self._mapping.get("MaximumBatchingWindowInSeconds", _WINDOW))
        batch: list[Message] = []
        length, until = 0, 0.0
        while len(batch) < size and not self.stopped.is_set():
            left = until - time.monotonic() if batch else _GLANCE
            if left <= 0 and window:
                break
            message, self._next = self._next or consumer.receive(min(max(left, 0), _GLANCE)), None
            if message is None:
                if left <= 0:  # without a window, a batch has what is there
                    break
                continue
            added = len(json.dumps(message.record))
            if added > MAX_PAYLOAD_BYTES or not _passes(message.record, self._mapping):
                consumer.accept([message])  # Lambda drops both
                continue
            if length + added > MAX_PAYLOAD_BYTES:
                self._next = message
                break
            until = until if batch else time.monotonic() + window
            batch.append(message)
            length += added
        return [] if self.stopped.is_set() else batch

    def _deliver(self, consumer: Consumer, batch: list[Message]) -> None:
        mapping = self._mapping
        result = run_function(mapping, _event(mapping, [message.record for message in batch]))
        if not result.get("error"):
            consumer.accept(batch)
            mapping["LastProcessingResult"] = "OK"
            return
        reason = json.dumps(result.get("body"))
        logger.info("%s: %d messages are returned: %s", mapping["FunctionArn"], len(batch), reason)
        mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
        self.stopped.wait(RETRY_DELAY)
        consumer.give_back(batch)


def _settings(mapping: Mapping[str, Any]) -> str:
    """What a poller has to connect again for, when it changes."""
    return json.dumps([mapping[name] for name in ("Queues", "SourceAccessConfigurations", "BatchSize")])


def _access(mapping: Mapping[str, Any]) -> dict[str, str]:
    """The secret and the virtual host of a mapping."""
    given = {one["Type"]: one["URI"] for one in mapping["SourceAccessConfigurations"]}
    return {"VIRTUAL_HOST": "/", **given}


def _event(mapping: Mapping[str, Any], records: list[dict[str, Any]]) -> dict[str, Any]:
    source = mapping["EventSourceArn"]
    if "basicProperties" not in records[0]:
        return {"eventSource": "aws:amq", "eventSourceArn": source, "messages": records}
    queue = f"{mapping['Queues'][0]}::{_access(mapping)['VIRTUAL_HOST']}"
    return {"eventSource": "aws:rmq", "eventSourceArn": source, "rmqMessagesByQueue": {queue: records}}


def _passes(record: Mapping[str, Any], mapping: Mapping[str, Any]) -> bool:
    """Whether the filters of the mapping let a message through: they see its content as text or JSON."""
    text = b64decode(record["data"]).decode(errors="replace")
    try:
        data = json.loads(text)
    except ValueError:
        data = text
    return bool(lambda_svc._apply_filter_criteria([{"data": data}], mapping))
