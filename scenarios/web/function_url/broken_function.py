"""A function that crashes, times out and answers malformed, behind a URL of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from scenarios.framework import DeployedStack, NotYet, Story, require
from scenarios.support.broken_functions import made_like
from scenarios.web.function_url.client import Client

_SOURCE = """
import os, time

def handler(event, context):
    path = event["rawPath"]
    if path == "/raises":
        raise RuntimeError("the secret reason")
    if path == "/exits":
        os._exit(1)
    if path == "/sleeps":
        time.sleep(60)
    if path == "/slow":
        time.sleep(0.3)
    fine = {"statusCode": 200, "body": "fine"}
    return {
        "/status-of-another-kind": fine | {"statusCode": "secret"},
        "/body-of-another-kind": fine | {"body": {"secret": 1}},
        "/headers-of-another-kind": fine | {"headers": ["secret"]},
        "/invalid-header": fine | {"headers": {"secret header": "x"}},
        "/not-base64": fine | {"isBase64Encoded": True, "body": "secret!"},
        "/too-large": fine | {"body": "secret" * 1_100_000},
    }.get(path, fine)
"""

#: What the function returns, by the path of the request.
BROKEN: Mapping[str, str] = {
    "/raises": "an exception",
    "/exits": "the end of its process",
    "/sleeps": "a timeout",
    "/status-of-another-kind": "a statusCode that is not a number",
    "/body-of-another-kind": "a body that is not a string",
    "/headers-of-another-kind": "headers that are not an object",
    "/invalid-header": "an invalid header",
    "/not-base64": "a body that is not base64",
    "/too-large": "a response over 6 MB",
}


def break_the_function(stack: DeployedStack, story: Story) -> None:
    """Each failure is a 502 without the reason, and a throttled request a 429."""
    with _made(stack) as (name, url):
        client = Client(stack, url)
        for path in BROKEN:
            answer = client.expect(502, "GET", path)
            require(answer.body == b"Internal Server Error", f"GET {path}: {answer.body[:200]!r}")
        story.fact("malformed responses", len(BROKEN))
        story.say(f"A broken function is 502, without the reason: {', '.join(BROKEN.values())}.")
        functions = stack.client("lambda")
        functions.update_function_configuration(FunctionName=name, Timeout=30)  # no request must time out
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        statuses = _send_at_once(stack, client)
        require(set(statuses) <= {200, 429}, f"with reserved concurrency 1: {dict(statuses)}")
        story.fact("throttled", "429")
        story.say("Reserved concurrency 1, three requests at a time: 200 for one, 429 for the others.")


def _send_at_once(stack: DeployedStack, client: Client) -> Counter[int]:
    """Send three requests at a time until some are answered and some throttled, and count the statuses."""
    statuses: Counter[int] = Counter()

    def check() -> None:
        with ThreadPoolExecutor(3) as pool:
            statuses.update(pool.map(lambda _: client.send("GET", "/slow").status, range(3)))
        if len(statuses) < 2:  # on a busy machine the second one may come after the first has ended
            raise NotYet(f"{dict(statuses)}")

    stack.wait_until(check, "a request that is throttled")
    return statuses


@contextmanager
def _made(stack: DeployedStack) -> Iterator[tuple[str, str]]:
    client = stack.client("lambda")
    with made_like(stack, stack.output("FunctionName"), _SOURCE) as made:
        everybody = {"FunctionName": made["FunctionName"], "Principal": "*"}
        client.add_permission(
            **everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
        )
        client.add_permission(
            **everybody, StatementId="function", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
        )
        url = client.create_function_url_config(FunctionName=made["FunctionName"], AuthType="NONE")
        yield made["FunctionName"], url["FunctionUrl"]
