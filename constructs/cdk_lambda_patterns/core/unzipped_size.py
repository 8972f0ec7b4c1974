"""Code of a function and its layers → at most 250 MB together, unzipped.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Stage
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_s3_assets import Asset
from constructs import IConstruct

_MAX_BYTES = 250 * 1024 * 1024


def check_unzipped_size(folder: Path) -> None:
    """Check what was built for a function or a layer.

    Raises:
        ValueError: It is too large; the message names the largest parts.
    """
    _check({entry.name: _size_of(entry) for entry in folder.iterdir()}, "leave something out")


def check_with_layers(function: lambda_.Function, layers: Sequence[lambda_.ILayerVersion]) -> None:
    """Check the sum of a function and its layers, as far as their code is an asset of this app.

    Raises:
        ValueError: They are too large together; the message names the largest.
    """
    sizes = {one.node.path: _size_of(path) for one in (function, *layers) if (path := _code_of(one))}
    _check(sizes, "leave out a layer, or something of one")


def _code_of(resource: IConstruct) -> Path | None:
    asset = resource.node.try_find_child("Code")
    if not isinstance(asset, Asset):  # imported, inline, or in a bucket
        return None
    stage = Stage.of(resource)
    assert stage is not None
    path = Path(stage.asset_outdir, asset.asset_path)
    return path if path.exists() else None


def _size_of(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    return path.stat().st_size


def _check(sizes: dict[str, int], remedy: str) -> None:
    total = sum(sizes.values())
    if total > _MAX_BYTES:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        names = ", ".join(f"{name} ({sizes[name] / 2**20:,.0f} MB)" for name in largest)
        raise ValueError(
            f"{total / 2**20:,.0f} MB of code: Lambda allows 250 MB unzipped, layers included. The largest "
            f"are {names}; {remedy}, move it to EFS, or use a container image."
        )
