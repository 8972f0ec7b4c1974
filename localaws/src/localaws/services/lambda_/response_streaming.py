"""`awslambda.streamifyResponse` and `awslambda.HttpResponseStream` in Node.js functions.

The emulator knows the form of a streamed response, but its Node.js functions have no `awslambda` to make one.

Faithful to: a handler gets the event, a writable stream and the context; `HttpResponseStream.from` sends
status, headers and cookies before the body; `setContentType`. Behind a function URL with RESPONSE_STREAM the
response may be larger than 6 MB. `Invoke` returns what was written.
Not to: the time at which parts arrive, as the response is sent when the handler is done; a handler that fails
after it has begun, which is an error here and a response that ends early on AWS; the limit of 200 MB;
`InvokeWithResponseStream`. Other managed runtimes cannot stream, here and on AWS.

https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html
https://docs.aws.amazon.com/lambda/latest/dg/config-rs-invoke-furls.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around

_MARK = "localaws:streamed"

#: Runs in a Node.js process before the function is loaded.
PRELOAD = """
globalThis.awslambda = (() => {
  const { Writable } = require("node:stream");
  class ResponseStream extends Writable {
    constructor() { super(); this.parts = []; }
    _write(chunk, encoding, done) { this.parts.push(Buffer.from(chunk, encoding)); done(); }
    setContentType(type) { HttpResponseStream.from(this, { headers: { "Content-Type": type } }); }
  }
  class HttpResponseStream {
    static from(stream, prelude) {
      stream.write(JSON.stringify(prelude));
      stream.write(Buffer.alloc(8));
      return stream;
    }
  }
  const streamifyResponse = (handler) => async (event, context) => {
    const stream = new ResponseStream();
    const finished = new Promise((resolve, reject) => stream.on("finish", resolve).on("error", reject));
    await handler(event, stream, context);
    await finished;
    return { "localaws:streamed": Buffer.concat(stream.parts).toString("base64") };
  };
  return { HttpResponseStream, streamifyResponse };
})();
"""


@around(lambda_svc, "_execute_function_dispatch")
def _dispatch(stock: Callable[..., dict[str, Any]], *args: Any, **named: Any) -> dict[str, Any]:
    result = stock(*args, **named)
    body = result.get("body")
    if isinstance(body, dict) and body.keys() == {_MARK}:
        return {**result, "body": base64.b64decode(body[_MARK])}
    return result
