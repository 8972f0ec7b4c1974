"""An endpoint confirms its subscription with the link and the token that SNS sends it."""

from __future__ import annotations

import json
import queue
import re
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from localaws import LocalAws

pytestmark = pytest.mark.local

SIGNED = {
    "Signature": r"[A-Za-z0-9+/]{342}==",
    "SigningCertURL": r"https://sns\.us-east-1\.amazonaws\.com/SimpleNotificationService-[0-9a-f]{32}\.pem",
    "SignatureVersion": "1",
}


@pytest.fixture
def endpoint() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """The URL of a server, and the messages that it gets."""
    messages: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", messages
        server.shutdown()


def visit(aws: LocalAws, url: str) -> bytes:
    trusted = ssl.create_default_context(cafile=str(aws.ca_file))
    with urllib.request.urlopen(url, context=trusted) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def test_a_subscription_is_confirmed_by_its_link(
    local_aws: LocalAws, endpoint: tuple[str, queue.Queue[dict[str, Any]]]
) -> None:
    """The message is that of https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html."""
    url, messages = endpoint
    sns = local_aws.client("sns")
    topic = sns.create_topic(Name="confirmed")["TopicArn"]
    pending = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)["SubscriptionArn"]
    assert pending == "pending confirmation"
    confirmation = messages.get(timeout=60)
    assert confirmation["Type"] == "SubscriptionConfirmation"
    assert re.fullmatch(r"2336412f37[0-9a-f]{214}", confirmation["Token"])
    for name, pattern in SIGNED.items():
        assert re.fullmatch(pattern, confirmation[name])
    assert b"ConfirmSubscriptionResult" in visit(local_aws, confirmation["SubscribeURL"])
    sns.publish(TopicArn=topic, Message="hello")
    sent = messages.get(timeout=60)
    assert (sent["Type"], sent["Message"]) == ("Notification", "hello")
    for name, pattern in SIGNED.items():
        assert re.fullmatch(pattern, sent[name])
    visit(local_aws, sent["UnsubscribeURL"])
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
