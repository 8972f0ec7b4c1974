"""`run.py addresses`: how curl reaches what the embedded AWS serves to the public.

On AWS, a load balancer, an API and a function URL have names of their own. Those names do not lead here: one
address serves them all, and the Host header says which is meant.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from localaws.server import addresses
from localaws.server.addresses import Address
from tasks import console
from tasks.commands import parse

_HTTP = 80


def main(arguments: list[str]) -> int:
    """Print a command line of curl for each load balancer, API and function URL."""
    parse("addresses", arguments)
    endpoint, authority = os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_CA_BUNDLE", "")
    if urlsplit(endpoint).hostname != "127.0.0.1" or not authority:
        print(
            "run.py addresses: this shell does not use an embedded AWS; start one with "
            "`python3 run.py local --shell`.",
            file=sys.stderr,
        )
        return 1
    here = {"endpoint_url": endpoint, "ca_file": Path(authority)}
    try:
        found = [*_load_balancers(here), *_apis(here), *_function_urls(here)]
    except (BotoCoreError, ClientError, ValueError, OSError) as error:  # it has ended, or is another's
        print(f"run.py addresses: the embedded AWS of this shell does not answer: {error}", file=sys.stderr)
        return 1
    for name, address in found:
        print(f"{name}\n  {curl(address)}")
    if not found:
        print("There is no load balancer, no API and no function URL.")
    return 0


def curl(address: Address) -> str:
    """The command line that sends a request to an address."""
    words = ["curl", "--cacert", str(address.ca_file), "--header", f"Host: {address.host}", f"{address.url}/"]
    return shlex.join(words)


def _load_balancers(here: Any) -> Iterator[tuple[str, Address]]:
    client = boto3.client("elbv2")
    for balancer in client.describe_load_balancers()["LoadBalancers"]:
        listeners = client.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        for port in sorted(listener["Port"] for listener in listeners):
            address = addresses.of_load_balancer(balancer["DNSName"], **here)
            host = address.host if port == _HTTP else f"{address.host}:{port}"
            yield (
                f"load balancer {balancer['LoadBalancerName']}, port {port}",
                Address(address.url, host, address.ca_file),
            )


def _apis(here: Any) -> Iterator[tuple[str, Address]]:
    rest, http = boto3.client("apigateway"), boto3.client("apigatewayv2")
    stages = [
        (api["id"], api["name"], stage["stageName"])
        for api in rest.get_rest_apis()["items"]
        for stage in rest.get_stages(restApiId=api["id"])["item"]
    ]
    stages += [
        (api["ApiId"], api["Name"], stage["StageName"])
        for api in http.get_apis()["Items"]
        for stage in http.get_stages(ApiId=api["ApiId"])["Items"]
    ]
    for api_id, name, stage in stages:
        path = "" if stage == "$default" else f"/{stage}"
        url = f"https://{api_id}.execute-api.{rest.meta.region_name}.amazonaws.com{path}"
        yield f"API {name}, stage {stage}", addresses.of_api(url, **here)


def _function_urls(here: Any) -> Iterator[tuple[str, Address]]:
    client = boto3.client("lambda")
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            for config in client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]:
                address = addresses.of_function_url(config["FunctionUrl"], **here)
                yield f"function URL of {name}", address


if __name__ == "__main__":
    console.start(main)
