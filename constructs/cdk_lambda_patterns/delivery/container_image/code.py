"""Where the image of a function comes from: a repository, or a folder with a Dockerfile."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import Annotations, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.regions import check_region, differ, is_known
from cdk_lambda_patterns.delivery.container_image.repository import ImageRepository, lambda_may_pull

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_LARGEST_IMAGE = 10 * 1024**3
# https://docs.aws.amazon.com/lambda/latest/api/API_ImageConfig.html
_WORDS = Limit("Lambda", 0, 1500, "words")
_PATH = Limit("Lambda", 0, 1000, "characters")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_FROM = re.compile(r"^\s*FROM\s+--platform=(linux/\w+)\S*\s", re.IGNORECASE | re.MULTILINE)
_SAME_REGION = "Lambda pulls an image from a repository in the Region of the function only"


@check_types
@dataclass(frozen=True, kw_only=True)
class _Command:
    """What a function runs instead of what its image says."""

    cmd: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    working_directory: str | None = None

    def __post_init__(self) -> None:
        _WORDS.check("len(cmd)", len(self.cmd or ()))
        _WORDS.check("len(entrypoint)", len(self.entrypoint or ()))
        _PATH.check("len(working_directory)", len(self.working_directory or ""))
        for name in ("cmd", "entrypoint"):
            if (words := getattr(self, name)) is not None:
                if not len(words):
                    raise ValueError(f"{name}={words!r}: leave it out to run what the image says.")
                object.__setattr__(self, name, list(words))  # the CDK takes no other sequence


class ContainerImageCode(ABC):
    """The image of a ``ContainerImageFunction``: ``from_ecr`` or ``from_image_asset``."""

    @staticmethod
    def from_ecr(
        repository: ecr.IRepository,
        *,
        tag_or_digest: str,
        cmd: Sequence[str] | None = None,
        entrypoint: Sequence[str] | None = None,
        working_directory: str | None = None,
    ) -> "ContainerImageCode":
        """Use an image of a repository, which something else builds and pushes.

        Lambda resolves a tag to a digest when the function is deployed, and CloudFormation deploys a
        function only if its image URI changes. So a tag that is pushed again changes no function. Give the
        digest, or a tag of an ``ImageRepository``, which is never pushed again.

        Args:
            repository: Owned or imported, in the function's Region. Lambda may pull from an
                ``ImageRepository``; the policy of an owned repository is extended. An imported one of another
                account must allow it already.
            tag_or_digest: ``"sha256:…"``, or a tag. Not ``"latest"``.
            cmd: Instead of the image's ``CMD``: ``["package.module.handler"]`` for a base image of AWS.
            entrypoint: Instead of its ``ENTRYPOINT``.
            working_directory: Instead of its ``WORKDIR``.

        Raises:
            ValueError: The tag is ``latest`` or malformed, or a value is outside what Lambda allows.
        """
        if tag_or_digest == "latest":
            raise ValueError(
                "tag_or_digest='latest': pushing it again would not change the function, because "
                "CloudFormation sees the same image URI; give the digest, or the tag of a version."
            )
        if (is_known(tag_or_digest) or not tag_or_digest) and not (
            _DIGEST if ":" in tag_or_digest else _TAG
        ).fullmatch(tag_or_digest):
            raise ValueError(
                f"tag_or_digest={tag_or_digest!r}: give 'sha256:' and 64 hexadecimal digits, or a tag of "
                "letters, digits, '_', '.' and '-', at most 128."
            )
        command = _Command(cmd=cmd, entrypoint=entrypoint, working_directory=working_directory)
        return _EcrImage(repository, tag_or_digest, vars(command))

    @staticmethod
    def from_image_asset(
        directory: str | os.PathLike[str],
        *,
        file: str = "Dockerfile",
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        cmd: Sequence[str] | None = None,
        entrypoint: Sequence[str] | None = None,
        working_directory: str | None = None,
    ) -> "ContainerImageCode":
        """Build a Dockerfile for the function's architecture when it is deployed.

        The CDK CLI pushes the image to the repository of the bootstrap stack, with the hash of the folder and
        the arguments as its tag. Functions with the same folder and arguments share one image.

        Args:
            directory: The build context. What ``.dockerignore`` excludes does not count for the hash.
            file: The Dockerfile, relative to it.
            target: The stage to build. Default: the last one.
            build_args: Values for ``ARG``. They are in the image's history: no secrets.
            cmd: Instead of the image's ``CMD``: ``["package.module.handler"]`` for a base image of AWS.
            entrypoint: Instead of its ``ENTRYPOINT``.
            working_directory: Instead of its ``WORKDIR``.

        Raises:
            NotADirectoryError: There is no such folder.
            FileNotFoundError: It has no such Dockerfile.
            ValueError: It is larger than an image may be, or a value is outside what Lambda allows.
        """
        folder = Path(directory)
        if not folder.is_dir():
            raise NotADirectoryError(f"directory={str(folder)!r}: the folder does not exist.")
        if not (folder / file).is_file():
            raise FileNotFoundError(f"file={file!r}: {folder} has no such Dockerfile.")
        size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
        if size > _LARGEST_IMAGE:
            raise ValueError(
                f"directory={str(folder)!r}: it has {size / 1024**3:.1f} GB; an image may have 10 GB."
            )
        command = _Command(cmd=cmd, entrypoint=entrypoint, working_directory=working_directory)
        return _AssetImage(folder, file, target, build_args, vars(command))

    @abstractmethod
    def bind(self, scope: Construct, id: str, architecture: lambda_.Architecture) -> lambda_.Code:
        """Return the code for a function.

        Args:
            scope: The function's scope.
            id: The function's id.
            architecture: The function's architecture.
        """


@dataclass(frozen=True)
class _EcrImage(ContainerImageCode):
    repository: ecr.IRepository
    tag_or_digest: str
    command: Mapping[str, Any]

    def bind(self, scope: Construct, id: str, architecture: lambda_.Architecture) -> lambda_.Code:
        repository = self.repository
        check_region(scope, _SAME_REGION, {"repository": repository})
        if not isinstance(repository, ImageRepository):
            added = repository.add_to_resource_policy(lambda_may_pull(Stack.of(scope), []))
            account = repository.env.account
            if not added.statement_added and is_known(account) and differ(account, Stack.of(scope).account):
                Annotations.of(scope).add_warning_v2(
                    f"cdk-lambda-patterns:repositoryOfAnotherAccount-{id}",
                    f"repository={repository.repository_name}: its policy in account {account} must allow "
                    "this account and lambda.amazonaws.com, for functions of this account, to pull; "
                    f"ImageRepository(accounts=['{Stack.of(scope).account}']) does.",
                )
        # Known by its name only: the CDK would let the functions of every account pull from it.
        named = ecr.Repository.from_repository_attributes(
            scope,
            f"{id}Repository",
            repository_arn=repository.repository_arn,
            repository_name=repository.repository_name,
        )
        return lambda_.Code.from_ecr_image(named, tag_or_digest=self.tag_or_digest, **self.command)


@dataclass(frozen=True)
class _AssetImage(ContainerImageCode):
    directory: Path
    file: str
    target: str | None
    build_args: Mapping[str, str] | None
    command: Mapping[str, Any]

    def bind(self, scope: Construct, id: str, architecture: lambda_.Architecture) -> lambda_.Code:
        platform = architecture.docker_platform
        for given in _FROM.findall((self.directory / self.file).read_text("utf-8-sig")):
            if not platform.startswith(given.lower()):
                raise ValueError(
                    f"{self.directory / self.file} has FROM --platform={given}, and the function is "
                    f"{architecture.name}: it would fail with 'exec format error'. Leave --platform out, or "
                    "choose the other architecture."
                )
        return lambda_.Code.from_asset_image(
            str(self.directory),
            file=self.file,
            target=self.target,
            build_args=None if self.build_args is None else dict(self.build_args),
            platform=ecr_assets.Platform.custom(platform),
            **self.command,
        )
