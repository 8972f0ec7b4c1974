"""The APIs that processes of an execution environment have: the Runtime, Extensions and Telemetry API.

Functions with a custom runtime, an external extension or a wrapper script run with them; plain Python
functions have a faster way (`engines.python_runtime`). `programs` knows which processes there are,
`environment` starts and ends them, `sandbox` knows in which state they are, `server` answers their requests,
and `telemetry` sends records to extensions.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
"""
