"""Function → its log and telemetry, by an extension in a layer → batches in S3.

Use it where logs and telemetry have to reach S3 without CloudWatch Logs, or as the model of an extension of
your own. Do not use it when a subscription of the log group does: that runs outside of your function, and
cannot break it.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import BundlingOptions, DockerImage, Duration, ILocalBundling, RemovalPolicy, Size
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import grant_on_objects, grant_use_of_key
from cdk_lambda_patterns.core.regions import check_region

_NAME = "log-shipping"
_LAUNCHER = f"""#!/var/lang/bin/python3
import os
import sys

# The SDK of the function's runtime, and this layer.
sys.path[0:0] = ["/opt/{_NAME}"]
sys.path.append(os.environ["LAMBDA_RUNTIME_DIR"])
from extension.agent import main

main("{_NAME}")
"""
_AGE = Limit("this construct", 1, 900, "seconds")
_BUFFER = Limit("this construct", 65_536, 64 * 1024 * 1024, "bytes")


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
        prefix: What the keys begin with.
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
        seconds = int((max_age or Duration.minutes(1)).to_seconds())
        size = int((buffer_size or Size.mebibytes(4)).to_bytes())
        _AGE.check("max_age", seconds)
        _BUFFER.check("buffer_size", size)
        if prefix.startswith("/") or (prefix and not prefix.endswith("/")):
            raise ValueError(f"prefix={prefix!r}: give '' or a path that ends with '/' and begins with none.")
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
            "LOG_SHIPPING_MAX_AGE": str(seconds),
            "LOG_SHIPPING_BUFFER_BYTES": str(size),
        }

    def attach(self, function: lambda_.Function) -> None:
        """Add the extension to a function.

        Args:
            function: A function of this app, with a Python runtime.

        Raises:
            ValueError: It has another runtime, or is in another account or Region than the layer.
        """
        if not function.runtime.name.startswith("python"):
            raise ValueError(
                f"function: {function.node.path} has the runtime {function.runtime.name}; the extension "
                "needs the interpreter and the SDK of a Python runtime. Other runtimes need a compiled one."
            )
        check_region(self, "A function has layers of its own Region only", {"function": function})
        if function.role is None:
            raise ValueError(f"function: {function.node.path} has no role that could be given permissions.")
        function.add_layers(self.layer)
        for name, value in self._variables.items():
            function.add_environment(name, value)
        grant_on_objects(
            function.role,
            self.bucket,
            "s3:PutObject",
            prefix=self._prefix,
            reason="The extension writes batches whose keys have the time, below the prefix.",
        )
        grant_use_of_key(function.role, self.bucket.encryption_key, "kms:GenerateDataKey")


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
