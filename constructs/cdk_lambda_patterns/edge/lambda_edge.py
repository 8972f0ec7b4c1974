"""Viewer → function → CloudFront cache → function → origin, and back: Lambda@Edge at four trigger points.

Use it for what needs a library, the network, the request body, or the origin's request and response. Do not
use it where CloudFront Functions would do (headers, rewrites, redirects, cache keys): a request costs a sixth
there, and no start is cold. What is the same for all viewers needs no code: use a response headers policy.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Annotations, Aws, Duration, Names, RemovalPolicy, Size, Stack, Token
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, NEWEST_PYTHON
from cdk_lambda_patterns.core.handler_code import handler_code
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import acknowledge, acknowledge_wildcard

_REGION = "us-east-1"
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-lambda-at-edge
_VIEWER_MEMORY = Limit("Lambda@Edge at viewer events", 128, 128, "MB")
_ORIGIN_MEMORY = Limit("Lambda@Edge at origin events", 128, 10_240, "MB")
_VIEWER_TIMEOUT = Limit("Lambda@Edge at viewer events", 1, 5, "seconds")
_ORIGIN_TIMEOUT = Limit("Lambda@Edge at origin events", 1, 30, "seconds")
# Those with which Lambda creates no functions any more.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html#runtimes-deprecated
_ENDED = re.compile(r"python(2\.7|3\.[67])|nodejs(4\.3|4\.3-edge|6\.10|8\.10|10\.x|12\.x|14\.x)?")
# https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-dependencies
_IN_RUNTIME = frozenset(
    {"awslambdaric", "boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"}
)
_NETWORK = (
    frozenset({"asyncio", "ctypes", "ftplib", "http.client", "http.server", "imaplib", "importlib"})
    | {"multiprocessing", "nntplib", "poplib", "smtplib", "socket", "socketserver", "ssl", "subprocess"}
    | {"telnetlib", "urllib.request", "urllib.robotparser", "xmlrpc.client", "xmlrpc.server"}
)


@check_types
@dataclass(frozen=True, kw_only=True)
class EdgeHook:
    """The function of one trigger point. What Lambda@Edge does not allow is not here.

    No environment variables, layers, VPC, X-Ray, dead-letter queue or arm64: settings are constants in the
    code, or custom headers of the origin.

    Args:
        code: The folder of the handler; or any ``lambda_.Code``, used as it is.
        handler: ``module.function`` in that folder.
        include_body: Whether a request event has the body: its first 40 KB at the viewer, 1 MB at the origin.
        memory_size: In MB. Default, and the only size at viewer events: 128.
        timeout: At most 5 seconds at viewer events, 30 at origin events. Default: 5 seconds.
        runtime: Python or Node.js. Default: the newest Python.

    Code in a folder is looked at, a Python handler more than one of Node.js; inline and other code is not.

    Example::

        EdgeHook(code="origin_request", timeout=Duration.seconds(10))
    """

    code: str | os.PathLike[str] | lambda_.Code
    handler: str = DEFAULT_HANDLER
    include_body: bool = False
    memory_size: int | None = None
    timeout: Duration | None = None
    runtime: lambda_.Runtime | None = None


@check_types
class LambdaEdge(Construct):
    """Functions for the viewer and origin events of cache behaviors.

    Viewer functions run for every request, origin functions on a miss only. They are made in us-east-1, also
    for a stack of another Region, and **retained** when they are replaced or the stack is deleted: Lambda
    refuses to delete a function that has replicas, and CloudFront needs hours to delete those.

    Args:
        viewer_request: Gets every request before the cache. The cache key is made from what it returns.
        origin_request: Gets the request to the origin on a miss, and may choose another origin.
        origin_response: Gets the origin's response, without its body. What it returns is stored in the cache.
        viewer_response: Gets every response after the cache, unless the origin answered 400 or above.

    Raises:
        ValueError: No function is given, a limit of its point is exceeded, its runtime has ended, that or a
            module that it imports is not at the edge, the stack has no Region or none of AWS, or Lambda@Edge
            does not exist in its partition.

    Attributes:
        functions (dict[str, IFunction]): By argument. A stack of another Region cannot use their names.
        edge_lambdas (list[EdgeLambda]): For ``BehaviorOptions(edge_lambdas=...)``; in every Region
            ``function_version.edge_arn`` can be used.

    Example::

        site = Stack(self, "Site", env=Environment(region="us-east-1"))
        edge = LambdaEdge(site, "Edge", origin_request=EdgeHook(code="worker"))
        options = cloudfront.AddBehaviorOptions(edge_lambdas=edge.edge_lambdas)

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        viewer_request: EdgeHook | None = None,
        origin_request: EdgeHook | None = None,
        origin_response: EdgeHook | None = None,
        viewer_response: EdgeHook | None = None,
    ) -> None:
        hooks = {
            "viewer_request": viewer_request,
            "origin_request": origin_request,
            "origin_response": origin_response,
            "viewer_response": viewer_response,
        }
        given = {name: hook for name, hook in hooks.items() if hook is not None}
        if not given:
            raise ValueError(f"No function is given: give one or more of {', '.join(hooks)}.")
        _check_region(scope)
        for name, hook in given.items():
            _check(name, hook)
        super().__init__(scope, id)

        self.functions: dict[str, lambda_.IFunction] = {}
        self.edge_lambdas: list[cloudfront.EdgeLambda] = []
        for name, hook in given.items():
            function, version = self._make(name, hook)
            self.functions[name] = function
            self.edge_lambdas.append(
                cloudfront.EdgeLambda(
                    function_version=version,
                    event_type=getattr(cloudfront.LambdaEdgeEventType, name.upper()),
                    include_body=hook.include_body or None,
                )
            )
            if name.startswith("viewer") and not hook.include_body and not _needs_lambda(hook):
                Annotations.of(function).add_warning_v2(
                    f"cdk-lambda-patterns:cheaperAtTheEdge-{name}",
                    f"{name}: its code needs no body, library or network, so CloudFront Functions would "
                    "do, at a sixth of the price for each request: see CloudFrontFunctions.",
                )

    def _make(self, name: str, hook: EdgeHook) -> tuple[lambda_.IFunction, lambda_.IVersion]:
        runtime, code = hook.runtime or NEWEST_PYTHON, hook.code
        if not isinstance(code, lambda_.Code):
            code = handler_code(
                code,
                handler=hook.handler,
                runtime=runtime,
                architecture=lambda_.Architecture.X86_64,
                has_layers=False,
            )
        point = "".join(part.title() for part in name.split("_"))
        if Stack.of(self).region != _REGION:  # one stack in us-east-1 has the functions of all others
            point = f"{Names.unique_id(self)}{point}"
        function = cloudfront.experimental.EdgeFunction(
            self,
            point,
            code=code,
            handler=hook.handler,
            runtime=runtime,
            memory_size=hook.memory_size or 128,
            timeout=hook.timeout or Duration.seconds(5),
            ephemeral_storage_size=Size.mebibytes(512),
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN),
        )
        made = function.lambda_
        made.apply_removal_policy(RemovalPolicy.RETAIN)
        made.node.try_remove_child("LogGroup")  # replicas write to others, next to the viewers
        acknowledge(
            made, {"Serverless-LambdaDLQ": "Lambda@Edge has no dead-letter queues: it is synchronous."}
        )
        acknowledge(made, {"Serverless-LambdaTracing": "Lambda@Edge has no X-Ray."})
        self._write_out_role(made)
        return made, function.current_version

    def _write_out_role(self, function: lambda_.IFunction) -> None:
        """Replace the managed policy of the CDK's role: logs are in the Region of each edge location."""
        assert function.role is not None
        resource = function.role.node.default_child
        assert isinstance(resource, iam.CfnRole)
        resource.managed_policy_arns = None
        # Not a policy of the role's own, which the function would wait for: it has the function's name.
        logs = (
            f"arn:{Aws.PARTITION}:logs:*:{Aws.ACCOUNT_ID}:log-group:/aws/lambda/{_REGION}."
            f"{function.function_name}:*"
        )
        policy = iam.Policy(
            function,
            "Logs",
            roles=[function.role],
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[logs],
                )
            ],
        )
        acknowledge_wildcard(
            policy,
            logs,
            "CloudFront decides in which Region a replica runs and writes its log, and names streams.",
        )


def _check_region(scope: Construct) -> None:
    region = Stack.of(scope).region
    if Token.is_unresolved(region):
        raise ValueError(
            "The stack has no Region, and functions of Lambda@Edge are in us-east-1: give "
            f"Stack(..., env=Environment(region={_REGION!r})), or the Region of the stack."
        )
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+-\d+", region):
        raise ValueError(
            f"region={region!r}: it is no Region of AWS; give the code of one, such as 'eu-west-1'."
        )
    if region.startswith(("cn-", "us-gov-", "us-iso", "eu-isoe", "eusc-")):
        raise ValueError(f"region={region!r}: Lambda@Edge does not exist there; use CloudFront Functions.")


def _check(name: str, hook: EdgeHook) -> None:
    viewer = name.startswith("viewer")
    (_VIEWER_MEMORY if viewer else _ORIGIN_MEMORY).check(f"{name}.memory_size", hook.memory_size)
    (_VIEWER_TIMEOUT if viewer else _ORIGIN_TIMEOUT).check(f"{name}.timeout", hook.timeout)
    if "." not in hook.handler or not all(hook.handler.split(".")):
        raise ValueError(f"{name}.handler={hook.handler!r}: give module.function.")
    if hook.include_body and not name.endswith("request"):
        raise ValueError(f"{name}.include_body: only requests have a body; leave it out.")
    runtime = hook.runtime or NEWEST_PYTHON
    if runtime.family not in (lambda_.RuntimeFamily.PYTHON, lambda_.RuntimeFamily.NODEJS):
        raise ValueError(
            f"{name}.runtime={runtime.name!r}: Lambda@Edge runs Python and Node.js only; give a constant of "
            "lambda_.Runtime, or, if the CDK lacks it, its family: Runtime(name, RuntimeFamily.PYTHON)."
        )
    if _ENDED.fullmatch(runtime.name):
        raise ValueError(
            f"{name}.runtime={runtime.name!r}: Lambda creates no functions with it any more; give a newer "
            f"one, such as {NEWEST_PYTHON.name!r}."
        )
    _check_modules(name, hook)


def _check_modules(name: str, hook: EdgeHook) -> None:
    """Refuse a module that cannot be imported at the edge, which has no layers.

    Raises:
        ValueError: The file of the handler is missing (Node.js), or imports what is nowhere (Python).
    """
    if isinstance(hook.code, lambda_.Code) or not Path(hook.code).is_dir():
        return
    folder, module = Path(hook.code), hook.handler.rpartition(".")[0]
    if (hook.runtime or NEWEST_PYTHON).family == lambda_.RuntimeFamily.NODEJS:
        files = [f"{module}{suffix}" for suffix in (".mjs", ".cjs", ".js")]
        if not any((folder / file).is_file() for file in files):
            raise ValueError(
                f"{name}.handler={hook.handler!r}: {folder} has none of {', '.join(files)}; give "
                "module.function of a file that is there."
            )
        return
    source = _handler_source(hook)
    if source is None or (folder / "requirements.txt").exists():
        return
    here = {path.stem if path.suffix == ".py" else path.name for path in folder.iterdir()}
    known = sys.stdlib_module_names | _IN_RUNTIME | here
    # Those of a function or an `if` may be meant for elsewhere.
    top: list[ast.stmt] = [one for one in source.body if isinstance(one, ast.Import | ast.ImportFrom)]
    names = {one.partition(".")[0] for one in _imports(ast.Module(top, []))}
    if unknown := sorted(names - known - {""}):
        raise ValueError(
            f"{name}.code={os.fspath(hook.code)!r}: {hook.handler} imports {', '.join(unknown)}, which is "
            "neither in the folder nor in the runtime, and Lambda@Edge has no layers; add a requirements.txt "
            "with hashes."
        )


def _handler_source(hook: EdgeHook) -> ast.Module | None:
    """The module of the handler; None if there is none, or it is not Python."""
    assert not isinstance(hook.code, lambda_.Code)
    module = Path(hook.code) / f"{hook.handler.split('.')[-2]}.py"
    try:
        return ast.parse(module.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def _needs_lambda(hook: EdgeHook) -> bool:
    """Whether the module of the handler uses what CloudFront Functions lack; one that cannot be read may."""
    if isinstance(hook.code, lambda_.Code):
        return True
    source = _handler_source(hook)
    if source is None or (Path(hook.code) / "requirements.txt").exists():
        return True
    imported = set(_imports(source))
    others = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    return bool(others) or any(f"{name}.".startswith(f"{one}.") for name in imported for one in _NETWORK)


def _imports(module: ast.Module) -> Iterator[str]:
    """The full names of what is imported; those of its own package begin with a dot."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            yield from (f"{source}.{alias.name}" for alias in node.names)
