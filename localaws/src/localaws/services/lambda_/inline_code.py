"""The module with which inline code answers a custom resource: `cfnresponse` or `cfn-response`.

The emulator puts only the code into the archive.

Faithful to: CloudFormation adds the module to code of `ZipFile` that has the documented statement, `import
cfnresponse` or `require('cfn-response')`, and to no other code. `send` puts the documented response to the
`ResponseURL`; the physical id is the log stream's name by default. In Node.js, it ends the invocation.
Not to: in Python, what a function does after `send` still runs, as in AWS's own module.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

from ministack.services.cloudformation import provisioners

from localaws.patching import around

_IMPORTS = re.compile(r"^\s*import\s+cfnresponse\b", re.MULTILINE)
_REQUIRES = re.compile(r"""require\(\s*(['"`])cfn-response\1\s*\)""")

_PYTHON = """
import json
import urllib.request

SUCCESS, FAILED = "SUCCESS", "FAILED"


def send(event, context, responseStatus, responseData, physicalResourceId=None, noEcho=False, reason=None):
    response = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(response).encode(), {"Content-Type": ""}, method="PUT"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            print("Status code:", answer.status)
    except Exception as error:
        print("cfnresponse.send failed:", error)
"""

_NODE = """
exports.SUCCESS = 'SUCCESS';
exports.FAILED = 'FAILED';

exports.send = (event, context, responseStatus, responseData, physicalResourceId, noEcho) => {
  const body = JSON.stringify({
    Status: responseStatus,
    Reason: `See the details in CloudWatch Log Stream: ${context.logStreamName}`,
    PhysicalResourceId: physicalResourceId || context.logStreamName,
    StackId: event.StackId,
    RequestId: event.RequestId,
    LogicalResourceId: event.LogicalResourceId,
    NoEcho: noEcho || false,
    Data: responseData,
  });
  const headers = { 'content-type': '', 'content-length': Buffer.byteLength(body) };
  const client = require(event.ResponseURL.startsWith('https:') ? 'https' : 'http');
  const request = client.request(event.ResponseURL, { method: 'PUT', headers }, (answer) => {
    console.log('Status code: ' + answer.statusCode);
    answer.resume();
    context.done();
  });
  request.on('error', (error) => {
    console.log('send failed: ' + error);
    context.done();
  });
  request.end(body);
};
"""


@around(provisioners, "_zip_inline", after=["lambda_.properties"])
def _zip_inline(
    stock: Callable[..., bytes | None], source: str | None, handler: str, runtime: str = "python3.12"
) -> bytes | None:
    archive = stock(source, handler, runtime)
    if archive is None or source is None:
        return archive
    if runtime.startswith("python") and _IMPORTS.search(source):
        return _with(archive, "cfnresponse.py", _PYTHON)
    if runtime.startswith("nodejs") and _REQUIRES.search(source):
        return _with(archive, "node_modules/cfn-response.js", _NODE)
    return archive


def _with(archive: bytes, name: str, text: str) -> bytes:
    changed = io.BytesIO(archive)
    with zipfile.ZipFile(changed, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, text)
    return changed.getvalue()
