"""Lock file with hashes → ``python/`` → a version of a layer, for one Python and processor or for several."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import BundlingOptions, DockerImage, ILocalBundling, RemovalPolicy, Token
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import NEWEST_PYTHON
from cdk_lambda_patterns.core.handler_code import (
    EXCLUDE,
    Target,
    check_hashes,
    installed,
    no_image,
    target_for,
)
from cdk_lambda_patterns.core.handler_folder import lists_packages
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.unzipped_size import check_unzipped_size

_BUILD_FORMAT = 1  # raise it when the same folder has to be built again
# https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html
_DESCRIPTION = Limit("Lambda", 0, 256, "characters")
_NOT_PURE = re.compile(r"^Root-Is-Purelib: *false", re.MULTILINE)


@check_types
class DependenciesLayer(lambda_.LayerVersion):
    """A layer with the Python packages of a lock file, which functions share.

    It installs the packages of ``requirements.txt`` as wheels, like those of a handler, without Docker, in
    the folder ``python`` of the layer, which Lambda's Python has on its path. Modules in the folder are
    copied there, too. A changed lock file makes a new version of the layer, and each function that uses it
    changes with it.

    Args:
        code: The folder with ``requirements.txt``, every package pinned with its hashes, or with modules.
        compatible_runtimes: What the packages are installed for. Default: the newest Python. More than one is
            possible if no package has compiled code.
        compatible_architectures: The same for processors. Default: arm64.
        description: What is in the layer, at most 256 characters.
        removal_policy: What happens to a version of the layer when a newer one replaces it or the stack is
            deleted. Functions that have a deleted version keep it, but no other function can be given it.
            Default: it is retained.

    Raises:
        ValueError: The folder has neither packages nor modules, the requirements have no hashes, the runtime
            is not Python, the description is too long, or the layer has more than 250 MB or compiled code for
            several runtimes or processors.
        NotADirectoryError: ``code`` names a folder that does not exist.

    Attributes:
        layer_version_arn (str): The ARN of this version, for functions of other apps and accounts.

    Example::

        layer = DependenciesLayer(self, "Dependencies", code="worker")  # has a requirements.txt
        layer.add_permission("Organization", account_id="*", organization_id="o-a1b2c3d4e5")

    https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str],
        compatible_runtimes: Sequence[lambda_.Runtime] | None = None,
        compatible_architectures: Sequence[lambda_.Architecture] | None = None,
        description: str | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        runtimes = [NEWEST_PYTHON] if compatible_runtimes is None else list(compatible_runtimes)
        architectures = [lambda_.Architecture.ARM_64]
        if compatible_architectures is not None:
            architectures = list(compatible_architectures)
        if not runtimes or not architectures:
            raise ValueError(
                "compatible_runtimes and compatible_architectures: give at least one of each, or leave "
                "them out."
            )
        for runtime in runtimes:
            if not runtime.name.startswith("python"):
                raise ValueError(
                    f"compatible_runtimes: {runtime.name} is not Python; use lambda_.LayerVersion."
                )
        if description is not None and not Token.is_unresolved(description):
            _DESCRIPTION.check("length of description", len(description))
        super().__init__(
            scope,
            id,
            code=_layer_code(
                Path(code).resolve(),
                target_for(runtimes[0], architectures[0]),
                shared=len(runtimes) > 1 or len(architectures) > 1,
            ),
            compatible_runtimes=runtimes,
            compatible_architectures=architectures,
            description=description,
            removal_policy=removal_policy,
        )


def _layer_code(source: Path, target: Target, *, shared: bool) -> lambda_.Code:
    if not source.is_dir():
        raise NotADirectoryError(f"code={str(source)!r}: not a folder; give the folder of requirements.txt.")
    lock = source / "requirements.txt"
    if lists_packages(lock):
        check_hashes(lock)
    elif not any(source.rglob("*.py")):
        raise ValueError(
            f"code={str(source)!r}: no package is listed in requirements.txt, and there is no module."
        )
    return lambda_.Code.from_asset(
        str(source),
        exclude=list(EXCLUDE),
        bundling=BundlingOptions(
            image=no_image(),
            # Part of the asset's hash: what the packages are installed for.
            command=[str(_BUILD_FORMAT), target.python, target.machine, str(shared)],
            local=_LayerBundling(source, target, shared),
        ),
    )


@jsii.implements(ILocalBundling)
class _LayerBundling:
    """Fills the folder of an asset with the packages of a lock file, and modules.

    Args:
        source: The folder.
        target: What the packages are installed for.
        shared: Whether other runtimes or processors use them, too.
    """

    def __init__(self, source: Path, target: Target, shared: bool) -> None:
        self._source = source
        self._target = target
        self._shared = shared

    # jsii passes the options by name only to a signature that names one of them.
    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: Any) -> bool:
        """Fill the folder. The CDK calls this and never falls back to Docker."""
        python = Path(output_dir, "python")
        python.mkdir()
        lock = self._source / "requirements.txt"
        if lists_packages(lock):
            shutil.copytree(installed(lock, self._target), python, dirs_exist_ok=True)
        shutil.copytree(self._source, python, dirs_exist_ok=True, ignore=self._ignored)
        if self._shared:
            for wheel in sorted(python.glob("*.dist-info/WHEEL")):
                if _NOT_PURE.search(wheel.read_text()):
                    raise ValueError(
                        f"{wheel.parent.name.removesuffix('.dist-info')} has compiled code, which is for one "
                        "Python and one processor; make a layer for each."
                    )
        check_unzipped_size(python)
        return True

    def _ignored(self, folder: str, names: list[str]) -> set[str]:
        compiled = shutil.ignore_patterns("__pycache__", "*.pyc")(folder, names)
        own = {"requirements.txt", "requirements.in"} if Path(folder) == self._source else set()
        return {*compiled, *own}
