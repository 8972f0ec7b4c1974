"""A copy of the function that bypasses the proxy and connects to the database itself, for comparison only."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.framework import DeployedStack

UNPOOLED = "-unpooled"

# The embedded AWS has no IAM authentication at the database itself, so the password replaces the token.
_HANDLER = """
import os
from shared import iam_token
iam_token.make_token = lambda login: os.environ["DB_PASSWORD"]
from rds_proxy.handler import handler
"""

_COPIED = ("Runtime", "Role", "MemorySize", "Timeout", "Architectures", "LoggingConfig")


@contextmanager
def unpooled_function(stack: DeployedStack, function: str) -> Iterator[str]:
    """Deploy a copy of a function that connects to the database and not to the proxy, while the body runs.

    On the embedded AWS only: in AWS, the security groups would not allow the connection. The password is in
    an environment variable of the copy.

    Args:
        stack: The deployed stack.
        function: The function to copy.
    """
    client = stack.client("lambda")
    configuration = client.get_function_configuration(FunctionName=function)
    instance = stack.client("rds").describe_db_instances(
        DBInstanceIdentifier=stack.output("DatabaseIdentifier")
    )["DBInstances"][0]
    proxy = stack.client("rds").describe_db_proxies(DBProxyName=stack.output("ProxyName"))["DBProxies"][0]
    secret = stack.client("secretsmanager").get_secret_value(SecretId=proxy["Auth"][0]["SecretArn"])
    login = json.loads(secret["SecretString"])  # the owner's: the function's own user has no password
    variables = {
        **configuration["Environment"]["Variables"],
        "DB_HOST": instance["Endpoint"]["Address"],
        "DB_PORT": str(instance["Endpoint"]["Port"]),
        "DB_USER": login["username"],
        "DB_PASSWORD": login["password"],
    }
    name = f"{function[:50]}{UNPOOLED}"
    client.create_function(
        FunctionName=name,
        Handler="unpooled.handler",
        Code={"ZipFile": _with_handler(_code(stack, function))},
        Environment={"Variables": variables},
        **{setting: configuration[setting] for setting in _COPIED if setting in configuration},
    )
    try:
        client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        yield name
    finally:
        client.delete_function(FunctionName=name)


def _code(stack: DeployedStack, function: str) -> bytes:
    """Return the function's package, from the CDK's assets bucket."""
    cloudformation = stack.client("cloudformation")
    resources = cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]
    logical_id = next(one["LogicalResourceId"] for one in resources if one["PhysicalResourceId"] == function)
    template = cloudformation.get_template(StackName=stack.name)["TemplateBody"]
    if isinstance(template, str):
        template = json.loads(template)
    code = template["Resources"][logical_id]["Properties"]["Code"]
    identity = stack.client("sts").get_caller_identity()
    bucket = code["S3Bucket"]["Fn::Sub"].replace("${AWS::AccountId}", identity["Account"])
    bucket = bucket.replace("${AWS::Region}", stack.session.region_name)
    content: bytes = stack.client("s3").get_object(Bucket=bucket, Key=code["S3Key"])["Body"].read()
    return content


def _with_handler(archive: bytes) -> bytes:
    changed = io.BytesIO(archive)
    with zipfile.ZipFile(changed, "a") as code:
        code.writestr("unpooled.py", _HANDLER)
    return changed.getvalue()
