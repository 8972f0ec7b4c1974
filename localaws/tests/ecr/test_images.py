"""Repositories: images, tags that may not move, layers, sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.images import Images
from localaws import LocalAws
from localaws.images.registry import PushError

pytestmark = pytest.mark.local


LIVE = {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "li*"}]}


@pytest.fixture
def images(local_aws: LocalAws, tmp_path: Path) -> Images:
    return Images(local_aws, tmp_path)


def _tags(images: Images, name: str) -> dict[str, list[str]]:
    found = images.ecr.describe_images(repositoryName=name)["imageDetails"]
    return {one["imageDigest"]: one.get("imageTags", []) for one in found}


def test_an_image_has_the_size_of_its_layers(images: Images) -> None:
    uri, image = images.repository("size"), images.build()
    images.push(f"{uri}:1", image)
    manifest = json.loads(images.manifest(image))
    (found,) = images.ecr.describe_images(repositoryName="size", imageIds=[{"imageTag": "1"}])["imageDetails"]
    assert found["imageDigest"] == image
    assert found["imageSizeInBytes"] == sum(one["size"] for one in (manifest["config"], *manifest["layers"]))
    assert "imageScanStatus" not in found


def test_an_image_that_is_not_there_is_an_error(images: Images) -> None:
    images.repository("empty")
    with pytest.raises(
        ClientError, match=r"imageTag:'1'} does not exist .* 'empty' in the registry"
    ) as error:
        images.ecr.describe_images(repositoryName="empty", imageIds=[{"imageTag": "1"}])
    assert error.value.response["Error"]["Code"] == "ImageNotFoundException"
    with pytest.raises(ClientError, match="'none' does not exist in the registry with id '123456789012'"):
        images.ecr.describe_images(repositoryName="none")


@pytest.mark.parametrize(
    ("settings", "frozen", "free"),
    [
        ({"imageTagMutability": "IMMUTABLE"}, ["1", "live"], []),
        ({}, [], ["1", "live"]),
        ({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", **LIVE}, ["1"], ["live"]),
        ({"imageTagMutability": "MUTABLE_WITH_EXCLUSION", **LIVE}, ["live"], ["1"]),
    ],
    ids=["immutable", "mutable", "immutable-but-live", "mutable-but-live"],
)
def test_tags_of_an_immutable_repository_stay(
    images: Images, settings: Any, frozen: list[str], free: list[str], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    uri, one, two = images.repository(name, **settings), images.build(), images.build({"app.py": "2"})
    for tag in (*frozen, *free):
        images.push(f"{uri}:{tag}", one)
    for tag in frozen:
        for image in (one, two):  # not even the same one
            with pytest.raises(PushError, match=f"tag invalid: The image tag '{tag}' already exists in the"):
                images.push(f"{uri}:{tag}", image)
    for tag in free:
        images.push(f"{uri}:{tag}", two)
    assert _tags(images, name) == {one: frozen, **({two: free} if free else {})}
    shown = images.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert {key: shown.get(key) for key in settings} == settings


def test_the_same_by_the_api(images: Images) -> None:
    uri, image = images.repository("api", imageTagMutability="IMMUTABLE"), images.build()
    images.push(f"{uri}:1", image)
    manifest = images.manifest(image)
    images.ecr.put_image(repositoryName="api", imageManifest=manifest, imageTag="2")
    assert _tags(images, "api") == {image: ["1", "2"]}
    with pytest.raises(images.ecr.exceptions.ImageAlreadyExistsException):
        images.ecr.put_image(repositoryName="api", imageManifest=manifest, imageTag="1")
    other = images.manifest(images.changed(image, author="x"))
    with pytest.raises(images.ecr.exceptions.ImageTagAlreadyExistsException):
        images.ecr.put_image(repositoryName="api", imageManifest=other, imageTag="1")
    with pytest.raises(
        images.ecr.exceptions.LayersNotFoundException, match="do not exist within the repository"
    ):
        images.ecr.put_image(repositoryName="api", imageManifest=other, imageTag="3")


def test_layers_by_the_api(images: Images) -> None:
    image = images.build()
    manifest = json.loads(images.manifest(image))
    blobs = [one["digest"] for one in (manifest["config"], *manifest["layers"])]
    images.repository("parts")
    for blob in blobs:
        data, started = images.store.blob(blob), images.ecr.initiate_layer_upload(repositoryName="parts")
        where = {"repositoryName": "parts", "uploadId": started["uploadId"]}
        half = len(data) // 2
        for first, part in ((0, data[:half]), (half, data[half:])):
            images.ecr.upload_layer_part(
                **where, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part
            )
        images.ecr.complete_layer_upload(**where, layerDigests=[blob])
    found = images.ecr.batch_check_layer_availability(repositoryName="parts", layerDigests=blobs)["layers"]
    assert {one["layerAvailability"] for one in found} == {"AVAILABLE"}
    images.ecr.put_image(repositoryName="parts", imageManifest=images.manifest(image), imageTag="1")
    assert _tags(images, "parts") == {image: ["1"]}
    with pytest.raises(images.ecr.exceptions.UploadNotFoundException):
        images.ecr.complete_layer_upload(**where, layerDigests=[blob])


@pytest.mark.parametrize("name", ["UPPER", "a//b", "-a", "a--b"])
def test_names_that_are_none(images: Images, name: str) -> None:
    with pytest.raises(
        images.ecr.exceptions.InvalidParameterException, match="'repositoryName' failed to satisfy"
    ):
        images.repository(name)


def test_manifests_that_are_none(images: Images) -> None:
    images.repository("manifests/none")
    for manifest in ("{}", "[]", "none", '{"schemaVersion": 2}'):
        with pytest.raises(images.ecr.exceptions.InvalidParameterException, match="'Invalid JSON syntax'"):
            images.ecr.put_image(repositoryName="manifests/none", imageManifest=manifest, imageTag="1")


def test_an_image_is_deleted_with_its_last_tag(images: Images) -> None:
    uri, image = images.repository("delete"), images.build()
    for tag in ("1", "2"):
        images.push(f"{uri}:{tag}", image)
    for left in ({image: ["2"]}, {}):
        tag = "1" if left else "2"
        images.ecr.batch_delete_image(repositoryName="delete", imageIds=[{"imageTag": tag}])
        assert _tags(images, "delete") == left
    answer = images.ecr.batch_delete_image(repositoryName="delete", imageIds=[{"imageDigest": image}])
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"


def test_a_repository_that_is_made_again_is_empty(images: Images) -> None:
    uri, image = images.repository("again"), images.build()
    images.push(f"{uri}:1", image)
    with pytest.raises(images.ecr.exceptions.RepositoryNotEmptyException):
        images.ecr.delete_repository(repositoryName="again")
    images.ecr.delete_repository(repositoryName="again", force=True)
    images.repository("again")
    manifest = images.manifest(image)
    with pytest.raises(images.ecr.exceptions.LayersNotFoundException):
        images.ecr.put_image(repositoryName="again", imageManifest=manifest, imageTag="1")


def test_a_scan_finds_no_package_manager(images: Images) -> None:
    uri = images.repository("scan", imageScanningConfiguration={"scanOnPush": True})
    images.push(f"{uri}:1", images.build())
    (found,) = images.ecr.describe_images(repositoryName="scan")["imageDetails"]
    assert found["imageScanStatus"]["status"] == "FAILED"


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "x"}}]}']
)
def test_policies_that_are_none(images: Images, text: str) -> None:
    if "policies" not in [
        one["repositoryName"] for one in images.ecr.describe_repositories()["repositories"]
    ]:
        images.repository("policies")
    with pytest.raises(images.ecr.exceptions.InvalidParameterException, match="Invalid repository policy"):
        images.ecr.set_repository_policy(repositoryName="policies", policyText=text)


def test_still_needed_the_emulator_finds_images_that_are_not_there(stock_aws: LocalAws) -> None:
    ecr = stock_aws.client("ecr")
    ecr.create_repository(repositoryName="empty")
    answer = ecr.describe_images(repositoryName="empty", imageIds=[{"imageTag": "1"}])
    assert answer["imageDetails"] == []
