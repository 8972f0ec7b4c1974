"""Viewer → function with a key value store (viewer request) → CloudFront cache → function (viewer response).

Use it for what the request line and headers decide, for every request, within a millisecond: the cache key,
redirects and rewrites, headers, a signed token. Do not use it for what needs the body, the network, an SDK or
more than 10 KB of code: that is Lambda@Edge, which costs six times as much for each request, and the duration
in addition. Headers that are the same for every response need no function: use a response headers policy.
"""

import json
import re
from collections.abc import Mapping

from aws_cdk import Annotations, RemovalPolicy, Token
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.names import unique_name

# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-functions
_SIZE = Limit("CloudFront Functions", 1, 10_240, "bytes of code")
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-keyvaluestores
_NAME = 64  # characters, of functions and stores
_KEY = Limit("CloudFront KeyValueStore", 1, 512, "bytes for a key")
_VALUE = Limit("CloudFront KeyValueStore", 0, 1_024, "bytes for a value")
_STORE = Limit("CloudFront KeyValueStore", 0, 5 * 1024 * 1024, "bytes for all items")
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html
_MODULES = ("cloudfront", "crypto", "querystring", "buffer")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_MODULE = re.compile(r"""\b(?:from|import|require)\s*\(?\s*(['"])(?P<module>[^'"]+)\1""")
_EXPORT = re.compile(r"^\s*export\b", re.MULTILINE)
_ABSENT = re.compile(r"(?<![\w.$])(eval|fetch|setTimeout|setInterval|setImmediate|XMLHttpRequest)\s*\(")
_KVS = re.compile(r"\bkvs\s*\(")
_READ = ("DescribeKeyValueStore", "GetKey", "ListKeys")
_WRITE = ("PutKey", "DeleteKey", "UpdateKeys")


@check_types
class CloudFrontFunctions(Construct):
    """Functions for the viewer events of cache behaviors, with the key value store that they read.

    The functions run for every request, hit or miss; the one of the viewer response does not run when the
    origin answers 400 or above, nor for a response that the other one made.

    Args:
        viewer_request: The code that gets every request before the cache: ``FunctionCode.from_file(...)``.
            The cache key is made from what it returns.
        viewer_response: The code that gets every response after the cache.
        key_value_store: A store to read: owned, or imported with ``KeyValueStore.from_key_value_store_arn``.
        initial_items: Makes a new store with these items. An update of the stack does not write them again.
            They are in the template's assets: no secrets. ``{}`` makes an empty store.
        removal_policy: What happens to a new store when the stack is deleted. Default: it is retained.

    Raises:
        ValueError: There is no code, its file cannot be read, it is too large, it has no handler, or a limit
            of stores is exceeded. A module, function or store that the code seems to use and does not have
            is a warning.

    Attributes:
        viewer_request (Function | None): The function of the viewer request.
        viewer_response (Function | None): The function of the viewer response.
        key_value_store (IKeyValueStore | None): The store.
        associations (list[FunctionAssociation]): For ``BehaviorOptions(function_associations=...)``.

    Example::

        code = cloudfront.FunctionCode.from_inline("function handler(event) { return event.request; }")
        functions = CloudFrontFunctions(self, "Functions", viewer_request=code)
        behavior = {"function_associations": functions.associations}  # of a distribution

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-functions.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        viewer_request: cloudfront.FunctionCode | None = None,
        viewer_response: cloudfront.FunctionCode | None = None,
        key_value_store: cloudfront.IKeyValueStore | None = None,
        initial_items: Mapping[str, str] | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if viewer_request is None and viewer_response is None:
            raise ValueError("viewer_request and viewer_response are not given: give one of them, or both.")
        if key_value_store is not None and initial_items is not None:
            raise ValueError(
                "initial_items cannot be combined with key_value_store: CloudFront imports items into new "
                "stores only; leave one of them out."
            )
        for name, code in (("viewer_request", viewer_request), ("viewer_response", viewer_response)):
            if code is not None:
                _check_code(name, _read(name, code))
        _check_items(initial_items or {})
        super().__init__(scope, id)

        self.key_value_store: cloudfront.IKeyValueStore | None = key_value_store
        if initial_items is not None:
            self.key_value_store = self._make_store(initial_items, removal_policy)
        self.associations: list[cloudfront.FunctionAssociation] = []
        event = cloudfront.FunctionEventType
        self.viewer_request = self._make("Request", viewer_request, event.VIEWER_REQUEST)
        self.viewer_response = self._make("Response", viewer_response, event.VIEWER_RESPONSE)

    def grant_read_write(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a role to read and change the items, as a rotation of keys does.

        Clients sign these calls with Signature Version 4A: ``pip install boto3[crt]``.

        Raises:
            ValueError: There is no store.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudfrontkeyvaluestore.html
        """
        if self.key_value_store is None:
            raise ValueError(
                f"{self.node.path} has no key value store; give key_value_store or initial_items."
            )
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=[f"cloudfront-keyvaluestore:{action}" for action in (*_READ, *_WRITE)],
            resource_arns=[self.key_value_store.key_value_store_arn],
        )

    def _make_store(self, items: Mapping[str, str], policy: RemovalPolicy) -> cloudfront.KeyValueStore:
        data = {"data": [{"key": key, "value": value} for key, value in items.items()]}
        source = cloudfront.ImportSource.from_inline(json.dumps(data)) if items else None
        name = unique_name(self, "Store", longest=_NAME)
        store = cloudfront.KeyValueStore(self, "Store", key_value_store_name=name, source=source)
        store.apply_removal_policy(policy)
        return store

    def _make(
        self, id: str, code: cloudfront.FunctionCode | None, event: cloudfront.FunctionEventType
    ) -> cloudfront.Function | None:
        if code is None:
            return None
        text = code.render()
        reads = "cloudfront" in _imports(_COMMENT.sub(" ", text))
        function = cloudfront.Function(
            self,
            id,
            function_name=unique_name(self, id, longest=_NAME),
            code=code,
            runtime=cloudfront.FunctionRuntime.JS_2_0,
            key_value_store=self.key_value_store if reads else None,
        )
        for kind, doubt in _doubts(text, self.key_value_store is not None).items():
            Annotations.of(function).add_warning_v2(
                f"cdk-lambda-patterns:cloudFrontFunction-{kind}",
                f"{doubt}. CloudFront Functions may fail for every request: write it without, use "
                "Lambda@Edge, or acknowledge this warning if it only looks like it.",
            )
        self.associations.append(cloudfront.FunctionAssociation(function=function, event_type=event))
        return function


def _read(name: str, code: cloudfront.FunctionCode) -> str:
    try:
        return code.render()
    except RuntimeError as error:  # of jsii
        raise ValueError(f"{name}: its file cannot be read: {error}; give one that is there.") from None


def _imports(code: str) -> set[str]:
    return {found["module"] for found in _MODULE.finditer(code)}


def _check_code(name: str, code: str) -> None:
    if Token.is_unresolved(code):
        return
    _SIZE.check(f"{name}: len(code)", len(code.encode()))
    if "handler" not in code:
        raise ValueError(
            f"{name}: the code has no `function handler(event)`, which CloudFront calls; add it."
        )


def _doubts(code: str, has_store: bool) -> dict[str, str]:
    """What the runtime seems to lack of what the code uses, by the id of the warning.

    This is no parser of JavaScript: a text may only look like code, and a warning refuses nothing.
    """
    bare, found = _COMMENT.sub(" ", code), {}
    if unknown := sorted(_imports(bare) - set(_MODULES)):
        found["modules"] = f"the code imports {', '.join(unknown)}; there are only {', '.join(_MODULES)}"
    if _EXPORT.search(bare):
        found["export"] = "the code exports something; CloudFront calls the function named handler"
    called = _ABSENT.search(bare)
    if called and not re.search(rf"\b(function|const|let|var)\s+{called[1]}\b", bare):
        found["calls"] = f"the code calls {called[1]}; there are no network, timers or dynamic code"
    if "cloudfront" in _imports(bare) and _KVS.search(bare) and not has_store:
        found["store"] = "the code reads a key value store; give key_value_store or initial_items"
    return found


def _check_items(items: Mapping[str, str]) -> None:
    for key, value in items.items():
        name = f"initial_items[{key[:40]!r}]"
        if Token.is_unresolved(key) or Token.is_unresolved(value):
            raise ValueError(
                f"{name}: it is known only when the stack is deployed, and items are in a file from before "
                "that; put it into the store after the deployment."
            )
        _KEY.check(name, len(key.encode()))
        _VALUE.check(f"{name}: length of the value", len(value.encode()))
    _STORE.check("initial_items", sum(len(f"{key}{value}".encode()) for key, value in items.items()))
