"""Images of a repository: their sizes, tags that may not move, and layers that must be there.

The emulator finds images that do not exist, so that the CDK CLI never pushes an image asset. It takes the
length of a manifest for the size of an image, and fakes the upload of layers by the API.

Faithful to: `ImageNotFoundException`; the compressed size; a tag of an immutable repository is never pushed
again, not even with the same image, except the tags that its filters exclude; a manifest is one of an image
or an index, and names layers that were pushed; deleting the last tag of an image deletes it, and a deleted
repository keeps no manifests; layers that are uploaded in parts by the API; scan on push, with the result of
ECR's basic scanning for an image without a package manager that it knows.
Not to: a scanner: there are no findings. Replication, pull-through caches, signing. Every login may push and
pull in its account, whatever its principal may do with the API.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html
https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core.responses import error_response_json, get_account_id
from ministack.services import ecr

from localaws.patching import around, replaces

Response = tuple[int, dict[str, Any], bytes]
Request = dict[str, Any]
Image = dict[str, Any]

# Those of several images: an index for several platforms.
_INDEXES = frozenset(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
# One of which a manifest has: those of an image, of an index, of the first version of Docker.
_CONTENTS = frozenset(("layers", "manifests", "fsLayers"))
_EXCLUDING = {"IMMUTABLE_WITH_EXCLUSION": False, "MUTABLE_WITH_EXCLUSION": True}


def is_index(image: Image) -> bool:
    """Whether an image is an index of several."""
    return image.get("imageManifestMediaType") in _INDEXES or "manifests" in manifest_of(image)


def manifest_of(image: Image) -> dict[str, Any]:
    """The manifest of an image."""
    try:
        found = json.loads(image.get("imageManifest") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _blobs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What a manifest names: the configuration and the layers."""
    return [one for one in (manifest.get("config"), *manifest.get("layers", [])) if isinstance(one, dict)]


def _error(code: str, text: str) -> Response:
    answer: Response = error_response_json(code, text, 400)
    return answer


def _registry_error(code: str, text: str) -> Response:
    answer: Response = ecr._registry_error(400, code, text)
    return answer


def _not_found(name: str, image: dict[str, str]) -> Response:
    shown = ", ".join(f"{key}:'{image.get(key, 'null')}'" for key in ("imageDigest", "imageTag"))
    return _error(
        "ImageNotFoundException",
        f"The image with imageId {{{shown}}} does not exist within the repository with name '{name}' in the "
        f"registry with id '{get_account_id()}'",
    )


@around(ecr, "_describe_images")
def _describe_images(stock: Callable[[Request], Response], data: Request) -> Response:
    name = str(data.get("repositoryName"))
    if name in ecr._repositories:
        for wanted in data.get("imageIds") or ():
            if ecr._find_image(name, wanted) is None:
                return _not_found(name, wanted)
    status, headers, body = stock(data)
    if status >= 400:
        return status, headers, body
    wanted_tags, shown = (data.get("filter") or {}).get("tagStatus", "ANY"), []
    for detail in json.loads(body)["imageDetails"]:
        image = ecr._find_image(name, {"imageDigest": detail["imageDigest"]})
        blobs = _blobs(manifest_of(image))
        detail["imageSizeInBytes"] = sum(int(one.get("size", 0)) for one in blobs)
        if not detail["imageTags"]:
            del detail["imageTags"]
        if image.get("scanned"):
            detail["imageScanStatus"] = {
                "status": "FAILED",
                "description": "UnsupportedImageError: The operating system and/or package manager are not "
                "supported.",
            }
        if wanted_tags == "ANY" or ("imageTags" in detail) == (wanted_tags == "TAGGED"):
            shown.append(detail)
    return status, headers, json.dumps({"imageDetails": shown}).encode()


@replaces(ecr, "_batch_delete_image")
def _batch_delete_image(data: Request) -> Response:
    """By digest, delete the image with all tags; by tag, remove the tag, and the image with its last one."""
    name = str(data.get("repositoryName"))
    if name not in ecr._repositories:
        missing: Response = ecr._describe_images(data)
        return missing
    deleted, failures = [], []
    for wanted in data.get("imageIds") or ():
        image = ecr._find_image(name, wanted)
        if image is None:
            reason = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            failures.append({"imageId": wanted, **reason})
            continue
        tags: list[str] = image.get("imageTags") or []
        gone = [wanted["imageTag"]] if "imageTag" in wanted else list(tags)
        tags[:] = [tag for tag in tags if tag not in gone]
        deleted += [{"imageDigest": image["imageDigest"], "imageTag": tag} for tag in gone] or [
            {"imageDigest": image["imageDigest"]}
        ]
        if not tags:
            ecr._images[name].remove(image)
            (ecr._manifest_blobs.get(name) or {}).pop(image["imageDigest"], None)
        elif image["imageId"].get("imageTag") in gone:
            image["imageId"]["imageTag"] = tags[0]
    return (
        200,
        {"Content-Type": "application/json"},
        json.dumps({"imageIds": deleted, "failures": failures}).encode(),
    )


@around(ecr, "_delete_repository")
def _delete_repository(stock: Callable[[Request], Response], data: Request) -> Response:
    answer = stock(data)
    if answer[0] < 400:
        for blobs in (ecr._manifest_blobs, ecr._layer_blobs, ecr._uploads):
            blobs.pop(str(data.get("repositoryName")), None)
    return answer


# --- Pushing an image


def _refusal(name: str, tag: str | None, manifest: str) -> tuple[str, str] | None:
    """Why an image may not be pushed: the error of the API, and its text."""
    repository = ecr._repositories[name]
    registry = f"in the registry with id '{get_account_id()}'"
    if tag and ecr._find_image(name, {"imageTag": tag}) and _is_immutable(repository, tag):
        return "ImageTagAlreadyExistsException", (
            f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten "
            "because the tag is immutable."
        )
    parsed = manifest_of({"imageManifest": manifest})
    if not parsed.get("schemaVersion") or not _CONTENTS & parsed.keys():
        return "InvalidParameterException", (
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        )
    held = ecr._layer_blobs.get(name) or {}
    missing = [one["digest"] for one in _blobs(parsed) if one.get("digest") not in held]
    if missing:
        return "LayersNotFoundException", (
            f"The layer(s) {', '.join(missing)} do not exist within the repository with name '{name}' "
            f"{registry}"
        )
    return None


def _is_immutable(repository: dict[str, Any], tag: str) -> bool:
    setting = repository.get("imageTagMutability", "MUTABLE")
    if setting not in _EXCLUDING:
        return bool(setting == "IMMUTABLE")
    filters = repository.get("imageTagMutabilityExclusionFilters") or []
    excluded = any(fnmatchcase(tag, str(one.get("filter"))) for one in filters)
    return excluded == _EXCLUDING[setting]


@around(ecr, "_put_image")
def _put_image(stock: Callable[[Request], Response], data: Request) -> Response:
    name, tag = str(data.get("repositoryName")), data.get("imageTag")
    manifest = str(data.get("imageManifest", ""))
    if name in ecr._repositories:
        found = ecr._find_image(name, {"imageDigest": ecr._image_digest(manifest)})
        if found and (not tag or tag in found.get("imageTags", ())):
            text = (
                f"Image with digest '{found['imageDigest']}' and tag '{tag}' already exists in the repository"
            )
            return _error(
                "ImageAlreadyExistsException",
                f"{text} with name '{name}' in registry with id '{get_account_id()}'",
            )
        if refused := _refusal(name, tag, manifest):
            return _error(*refused)
    answer = stock(data)
    if answer[0] < 400:
        digest = ecr._image_digest(manifest)
        ecr._manifest_blobs.setdefault(name, {})[digest] = manifest.encode()
        _pushed(name, digest)
    return answer


@around(ecr, "_v2_put_manifest")
def _put_manifest(
    stock: Callable[..., Response], name: str, ref: str, headers: dict[str, str], body: bytes
) -> Response:
    if name in ecr._repositories and body:
        tag = None if ref.startswith("sha256:") else ref
        if refused := _refusal(name, tag, body.decode("utf-8", errors="replace")):
            code = "TAG_INVALID" if tag and "immutable" in refused[1] else "MANIFEST_BLOB_UNKNOWN"
            if refused[0] == "InvalidParameterException":
                code = "UNSUPPORTED"
            return _registry_error(code, refused[1])
        if tag is None and ref != ecr._content_digest(body):
            text = "The digest of the manifest is not the one in the path"
            return _registry_error("DIGEST_INVALID", text)
    answer = stock(name, ref, headers, body)
    if answer[0] < 400:
        _pushed(name, ecr._content_digest(body))
    return answer


def _pushed(name: str, digest: str) -> None:
    if (ecr._repositories[name].get("imageScanningConfiguration") or {}).get("scanOnPush"):
        ecr._find_image(name, {"imageDigest": digest})["scanned"] = True


# --- Layers by the API


@around(ecr, "_initiate_layer_upload")
def _initiate_layer_upload(stock: Callable[[Request], Response], data: Request) -> Response:
    status, headers, body = stock(data)
    if status >= 400:
        return status, headers, body
    _, started, _ = ecr._v2_start_blob_upload(data["repositoryName"], {}, b"")
    answer = json.loads(body) | {"uploadId": started["Docker-Upload-UUID"]}
    return status, headers, json.dumps(answer).encode()


@around(ecr, "_upload_layer_part")
def _upload_layer_part(stock: Callable[[Request], Response], data: Request) -> Response:
    part = base64.b64decode(data.get("layerPartBlob", ""))
    name, upload = str(data.get("repositoryName")), str(data.get("uploadId"))
    if ecr._v2_patch_blob_upload(name, upload, part)[0] >= 400:
        return _no_upload(name, upload)
    status, headers, body = stock(data)
    last = {"lastByteReceived": len(ecr._uploads[name][upload]) - 1}
    return status, headers, json.dumps(json.loads(body) | last).encode()


@around(ecr, "_complete_layer_upload")
def _complete_layer_upload(stock: Callable[[Request], Response], data: Request) -> Response:
    name, upload = str(data.get("repositoryName")), str(data.get("uploadId"))
    digests = data.get("layerDigests") or [""]
    if upload not in (ecr._uploads.get(name) or {}):
        return _no_upload(name, upload)
    if ecr._v2_complete_blob_upload(name, upload, {"digest": digests[0]}, b"")[0] >= 400:
        return _error("InvalidLayerException", "The layer digest does not match the uploaded layer.")
    return stock(data)


@around(ecr, "_batch_check_layer_availability")
def _batch_check_layer_availability(stock: Callable[[Request], Response], data: Request) -> Response:
    status, headers, body = stock(data)
    answer = json.loads(body)
    held = ecr._layer_blobs.get(str(data.get("repositoryName"))) or {}
    for layer in answer.get("layers", ()):
        if layer["layerDigest"] in held:
            layer |= {"layerAvailability": "AVAILABLE", "layerSize": len(held[layer["layerDigest"]])}
    return status, headers, json.dumps(answer).encode()


def _no_upload(name: str, upload: str) -> Response:
    return _error(
        "UploadNotFoundException",
        f"The upload with id '{upload}' does not exist in the repository with name '{name}' in the registry "
        f"with id '{get_account_id()}'",
    )
