"""Function → its log and telemetry, by an extension in a layer → batches in S3.

Use it where logs and telemetry have to reach S3 without CloudWatch Logs, or as the model of an extension of
your own. Do not use it when a subscription of the log group does: that runs outside of your function, and
cannot break it.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import (
    BundlingOptions,
    DockerImage,
    Duration,
    ILocalBundling,
    RemovalPolicy,
    Size,
    SizeRoundingBehavior,
    Stack,
    Token,
)
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.aliases import is_alias, is_version
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit, number_in, text_of
from cdk_lambda_patterns.core.permissions import grant_on_objects, grant_use_of_key, warn_if_unchanged
from cdk_lambda_patterns.core.regions import check_region

_NAME = "log-shipping"
_LAUNCHER = f"""#!/var/lang/bin/python3
import sys

# This layer, and the SDK of the function's runtime: extensions do not get LAMBDA_RUNTIME_DIR.
sys.path[0:0] = ["/opt/{_NAME}"]
sys.path.append("/var/runtime")
from extension.agent import main

main("{_NAME}")
"""
_AGE = Limit("this construct", 1, 900, "seconds")
_BUFFER = Limit("this construct", 65_536, 64 * 1024 * 1024, "bytes")
# A key has 1,024 bytes at most, and up to 137 after the prefix.
_PREFIX = Limit("this construct", 0, 880, "bytes")


@check_types
class LogShippingExtension(Construct):
    """A layer with an external extension, which ships what functions log, and their telemetry, to a bucket.

    It builds the layer and, unless you give one, the bucket. ``attach`` adds the layer to a function, with
    the permission to write below its prefix. The extension runs in each environment of the function: it
    retains records in memory, writes a batch after an invocation when the oldest record is older than
    ``max_age`` or half of the buffer is taken, and the rest when the environment ends. The caller of the
    function does not wait for it.

    The extension is a Python program that the interpreter of the function's runtime runs, with its SDK, so
    that the layer is 8 KB and runs on arm64 and x86-64. Only functions with a Python runtime have that.

    Args:
        bucket: Where the batches go, owned or imported. Default: a new bucket.
        prefix: What the keys begin with, up to 880 bytes.
        max_age: How long a record waits for others, while the function is invoked: 1 to 900 seconds.
        buffer_size: The memory for waiting records, 64 KiB to 64 MiB. Records that come when it is full are
            dropped, and their number is shipped.
        removal_policy: What happens to the bucket when the stack is deleted. Default: it is retained.

    Raises:
        ValueError: A value is not allowed.

    Attributes:
        bucket (IBucket): The bucket.
        layer (LayerVersion): The layer.

    Example::

        orders = HardenedFunction(self, "Orders", code="worker")
        shipping = LogShippingExtension(self, "Shipping")
        shipping.attach(orders)

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
    https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket | None = None,
        prefix: str = "logs/",
        max_age: Duration | None = None,
        buffer_size: Size | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        seconds = number_in("seconds", "max_age", max_age or Duration.minutes(1))
        _AGE.check("max_age", seconds)
        if buffer_size is not None and buffer_size.is_unresolved():
            raise ValueError("buffer_size: give a size that is known when the app is synthesised.")
        size = (buffer_size or Size.mebibytes(4)).to_kibibytes(rounding=SizeRoundingBehavior.NONE) * 1024
        _BUFFER.check("buffer_size", size)
        _PREFIX.check("len(prefix)", len(prefix.encode()))
        if prefix.startswith("/") or (prefix and not prefix.endswith("/")):
            raise ValueError(f"prefix={prefix!r}: give '' or a path that ends with '/' and begins with none.")
        if any(wildcard in prefix for wildcard in ("*", "?", "${")) and not Token.is_unresolved(prefix):
            raise ValueError(f"prefix={prefix!r}: *, ? and ${{ are wildcards in the policy; leave them out.")
        super().__init__(scope, id)
        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Logs", versioned=False, removal_policy=removal_policy
        )
        self._prefix = prefix
        source = pattern_source("delivery", "extension")
        self.layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=lambda_.Code.from_asset(
                str(source),
                exclude=["**/__pycache__", "**/*.pyc"],
                bundling=BundlingOptions(
                    # Never pulled. The command is part of the hash of the asset.
                    image=DockerImage.from_registry("scratch"),
                    command=[hashlib.sha256(_LAUNCHER.encode()).hexdigest()],
                    local=_LayerFolder(source),
                ),
            ),
            description="External extension: ships logs and telemetry of Python functions to S3",
        )
        self._variables = {
            "LOG_SHIPPING_BUCKET": self.bucket.bucket_name,
            "LOG_SHIPPING_PREFIX": prefix,
            "LOG_SHIPPING_MAX_AGE": text_of(seconds),
            "LOG_SHIPPING_BUFFER_BYTES": text_of(size),
        }

    def attach(self, function: lambda_.IFunction) -> None:
        """Add the extension to a function.

        A role that is imported as immutable gets no policy here: a warning says so.

        Args:
            function: A function of this app, with a Python runtime.

        Raises:
            ValueError: It is imported, an alias or a version, has another runtime, is in another account or
                Region than the layer, or has this or another ``LogShippingExtension`` or its variables.
        """
        path = function.node.path
        if not isinstance(function, lambda_.Function) or is_alias(function) or is_version(function):
            raise ValueError(
                f"function: {path} is imported, an alias or a version. Its layers cannot be changed here; "
                "give a function that this app makes."
            )
        if not function.runtime.name.startswith("python"):
            raise ValueError(
                f"function: {path} has the runtime {function.runtime.name}; the extension needs the "
                "interpreter and the SDK of a Python runtime. Other runtimes need a compiled one."
            )
        why = "The layer is for functions of its own account and Region"
        check_region(self, why, {"function": function}, in_account=True)
        if function.role is None:
            raise ValueError(f"function: {path} has no role that could be given permissions.")
        if taken := sorted({*_variables_of(function)} & {*self._variables}):
            raise ValueError(
                f"function: {path} has the variable {taken[0]}. A function can have one "
                "LogShippingExtension, once; if it has none, give your variable another name."
            )
        function.add_layers(self.layer)
        for name, value in self._variables.items():
            function.add_environment(name, value)
        grant = grant_on_objects(
            function.role,
            self.bucket,
            "s3:PutObject",
            prefix=self._prefix,
            reason="The extension writes batches whose keys have the time, below the prefix.",
        )
        grant_use_of_key(function.role, self.bucket.encryption_key, "kms:GenerateDataKey")
        needed = f"s3:PutObject on {self.bucket.node.path}"
        if self.bucket.encryption_key is not None:
            needed += " and kms:GenerateDataKey on its key"
        warn_if_unchanged(self, grant, function.role, needed)


def _variables_of(function: lambda_.Function) -> Mapping[str, object]:
    resource = function.node.default_child
    assert isinstance(resource, lambda_.CfnFunction)
    found = Stack.of(function).resolve(resource._cfn_properties).get("environment") or {}
    variables: Mapping[str, object] = found.get("variables") or {}
    return variables


@jsii.implements(ILocalBundling)
class _LayerFolder:
    """Fills the folder of the layer.

    Args:
        source: The package with the extension.
    """

    def __init__(self, source: Path) -> None:
        self._source = source

    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: Any) -> bool:
        """Fill the folder. The CDK calls this and never falls back to Docker."""
        launcher = Path(output_dir, "extensions", _NAME)
        package = Path(output_dir, _NAME, "extension")
        for folder in (launcher.parent, package):
            folder.mkdir(parents=True)
        for module in ("__init__.py", "agent.py", "batches.py"):
            shutil.copy(self._source / module, package)
        launcher.write_text(_LAUNCHER, "utf-8")
        launcher.chmod(0o755)
        return True
