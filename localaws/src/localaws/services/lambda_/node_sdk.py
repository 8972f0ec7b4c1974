"""The AWS SDK for JavaScript in Node.js functions, which is part of Lambda's Node.js runtimes.

The CDK's own custom resources (auto-delete objects, log retention, default security group, SDK calls,
cross-region references) are Node.js functions that use `@aws-sdk/client-*` from their runtime.

Faithful to: clients with commands and clients with methods, parameters and output (dates, bytes, streams),
error names and `$metadata`, regions, temporary credentials of an assumed role. A package in the function's
code comes first.
Not to: middleware, paginators, waiters, retries with back-off, `import` in ES modules, `@aws-sdk/lib-*`. Of
`@aws-sdk`, only `client-*` and `credential-providers` exist.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
https://docs.aws.amazon.com/AWSJavaScriptSDK/v3/latest/
"""

from __future__ import annotations

from ministack.core import lambda_runtime

from localaws.engines.node_sdk.relay import preload
from localaws.patching import changes
from localaws.services.lambda_.node_errors import reporting
from localaws.services.lambda_.response_streaming import PRELOAD


@changes(lambda_runtime, "_NODEJS_WORKER_SCRIPT")
def _worker_script(stock: str) -> str:
    return preload() + PRELOAD + reporting(stock)
