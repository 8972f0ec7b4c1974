"""Functions of every runtime see the documented variables, and no others."""

from __future__ import annotations

import io
import os
import shutil
import sys
import uuid
import zipfile
from typing import Any

import pytest

from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

PYTHON = "import os\ndef handler(event, context): return dict(os.environ)"
NODE = "exports.handler = async () => ({ ...process.env });"
CUSTOM = """#!PYTHON
import json, os, urllib.request
API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
# A process that a function starts sees this, too.
FIRST = dict(line.split("=", 1) for line in open("/proc/self/environ").read().split("\\0") if line)
while True:
    with urllib.request.urlopen(f"{API}/next") as event:
        given = event.headers
    answer = json.dumps(FIRST | {"trace": given["Lambda-Runtime-Trace-Id"]}).encode()
    urllib.request.urlopen(f"{API}/{given['Lambda-Runtime-Aws-Request-Id']}/response", answer).close()
"""
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
DOCUMENTED = {
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "LANG",
    "LD_LIBRARY_PATH",
    "NODE_PATH",
    "PATH",
    "TZ",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
}
# What leads clients here, and keeps functions away from the folders of the host.
OURS = {
    "AWS_CA_BUNDLE",
    "AWS_DATA_PATH",
    "AWS_DISABLE_HOST_PREFIX_INJECTION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "HOME",
    "LC_CTYPE",  # Python sets it where the locale in LANG is not installed
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "TMPDIR",
    "_MINISTACK_INVOKE_DEPTH",  # the hops of a loop, which the emulator counts in Node.js itself
}


def environment(aws: LocalAws, runtime: str, handler: str, files: dict[str, str]) -> dict[str, str]:
    """The environment of a new function with one variable of its own."""
    name, archive = f"function-{uuid.uuid4().hex[:8]}", io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o755 << 16
            opened.writestr(entry, text)
    aws.client("lambda").create_function(
        FunctionName=name,
        Role=Functions(aws).role(),
        Runtime=runtime,
        Handler=handler,
        Timeout=20,
        Environment={"Variables": {"OWN": "mine"}},
        Code={"ZipFile": archive.getvalue()},
    )
    found: dict[str, str] = Functions(aws).invoke(name).payload
    assert found.pop("OWN") == "mine"
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == name
    return found


def custom(aws: LocalAws) -> dict[str, str]:
    """The environment of a function with a runtime of its own."""
    # Not the one of a virtual environment, which may be below the host's /tmp.
    source = CUSTOM.replace("PYTHON", os.path.realpath(sys.executable))
    return environment(aws, "provided.al2023", "any", {"bootstrap": source})


def others(found: dict[str, Any]) -> set[str]:
    """The variables that are not documented."""
    return {name for name in set(found) - DOCUMENTED - OURS if not name.startswith("_LAMBDA_")}


def test_a_python_function_sees_only_documented_variables(local_aws: LocalAws) -> None:
    assert others(environment(local_aws, "python3.13", "index.handler", {"index.py": PYTHON})) == set()


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_a_node_function_sees_only_documented_variables(local_aws: LocalAws) -> None:
    found = environment(local_aws, "nodejs24.x", "index.handler", {"index.js": NODE})
    assert others(found) == set()
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_nodejs24.x"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_custom_runtime_sees_only_documented_variables(local_aws: LocalAws) -> None:
    found = custom(local_aws)
    assert found.pop("trace").startswith("Root=")
    assert others(found) == set()
    assert not found.keys() & {"AWS_EXECUTION_ENV", "_X_AMZN_TRACE_ID"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_emulator_still_shows_custom_runtimes_its_own_environment(stock_aws: LocalAws) -> None:
    assert "MINISTACK_SSL_KEY" in custom(stock_aws)


STARTS = """
import subprocess
def handler(event, context):
    return subprocess.run(["/opt/tools/show", "a", "b"], capture_output=True, text=True, check=True).stdout
"""
PROGRAM = """#!/var/lang/bin/python
import os, sys, helper
print(helper.said, sys.argv[1:], os.path.exists(os.environ["AWS_CA_BUNDLE"]))
"""


def test_a_program_of_a_layer_is_started_by_its_path_in_opt(functions: Functions) -> None:
    client = functions.aws.client("lambda")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        program = zipfile.ZipInfo("tools/show")
        program.external_attr = 0o755 << 16
        opened.writestr(program, PROGRAM)
        opened.writestr("tools/helper.py", "said = 'from the layer'")
    layer = client.publish_layer_version(LayerName="tools", Content={"ZipFile": archive.getvalue()})
    # The path of the certificates of Amazon Linux, as the CDK's BucketDeployment has it.
    certificates = {"Variables": {"AWS_CA_BUNDLE": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}}
    name = functions.make(STARTS, Layers=[layer["LayerVersionArn"]], Environment=certificates)
    assert functions.invoke(name).payload == "from the layer ['a', 'b'] True\n"
