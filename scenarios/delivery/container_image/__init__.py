"""Invokes two functions of one image, releases others, pushes tags again, and deploys what cannot start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from scenarios.delivery.container_image.functions import EARTH, MOON, Functions
from scenarios.delivery.container_image.registry import Registry
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::ECR::Repository.LifecyclePolicy": "No image is old enough to expire while the scenario runs.",
}

_TABLE = "var/task/container_image/model/postage.json"


def run(stack: DeployedStack) -> Outcome:
    """Both functions answer from the same image, each with its own command.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Two functions, one image", stack.tell)
    functions = Functions(stack)
    quote, table = functions.invoke(functions.quote, EARTH), functions.invoke(functions.table)
    require(quote == {"cents": 810, "release": "1.0.0"}, f"the quote is {quote}")
    require(table["weights"] == 6 and table["release"] == "1.0.0", f"the table is {table}")
    refused = functions.invoke(functions.quote, MOON)
    require("zone must be one of" in refused["error"], f"a parcel to the moon: {refused}")
    story.fact("cents", quote["cents"])
    story.say(f"The image's own command quoted {quote['cents']} cents, by the table that is in the image.")
    images = {functions.image(name) for name in (functions.quote, functions.table)}
    require(len(images) == 1 and "@sha256:" in min(images), f"the functions have the images {images}")
    story.fact("images", len(images))
    story.say(f"Another command of the same image lists {table['weights']} prices: {min(images)[-71:-50]}…")
    return story.outcome()


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Releases by digest and by tag, tags that are pushed again, permissions, and images that do not start.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Releases, tags, permissions, images that do not start", stack.tell)
    functions, registry = Functions(stack), Registry(stack)
    with functions.restored():
        try:
            _do_not_start(functions, story)
            second = _release(functions, registry, story)
            _push_again(functions, registry, second, story)
            _take_away(stack, functions, registry.uri_of(second), story)
        finally:
            _empty(stack)
    quote = functions.invoke(functions.quote, EARTH)
    require(quote["release"] == "1.0.0", f"after the drill, the quote is {quote}")
    return story.outcome()


def _release(functions: Functions, registry: Registry, story: Story) -> bytes:
    """A second release, which shares all layers of the first but one, deployed by its digest."""
    first = functions.image(functions.quote)
    table = {"zones": {"moon": 900}, "weights": [[1000, 450]]}
    second = registry.release(first, "2.0.0", {_TABLE: json.dumps(table).encode()})
    require(registry.push(second, "2.0.0").status == 201, "the second release was not pushed")
    functions.deploy(registry.uri_of(second))
    quote = functions.invoke(functions.quote, MOON)
    require(quote == {"cents": 4050, "release": "2.0.0"}, f"the second release quoted {quote}")
    other = functions.image(functions.table)
    require(other == first, f"the other function has {other} now")
    layers = len(json.loads(second)["layers"])
    story.fact("new layers", f"1 of {layers}")
    story.say(
        f"Release 2.0.0, deployed by its digest: 1 of {layers} layers is new; the other function stays."
    )
    return second


def _push_again(functions: Functions, registry: Registry, second: bytes, story: Story) -> None:
    """A tag that is pushed again is refused, or changes nothing until the function is deployed again."""
    third = registry.release(registry.uri_of(second), "3.0.0", {})
    answer = registry.push(third, "2.0.0")
    require(
        answer.status == 400 and b"the tag is immutable" in answer.body, f"{answer.status} {answer.body!r}"
    )
    story.fact("immutable tag", answer.json()["errors"][0]["code"])
    story.say("Pushing another image as 2.0.0 was refused: the tags of this repository are immutable.")
    registry.push(second, "live")
    functions.deploy(live := f"{registry.uri}:live")
    registry.push(third, "live")
    with functions.command():  # a new environment, which would find the new image
        release = functions.invoke(functions.quote, MOON)["release"]
    require(release == "2.0.0", f"after the tag live moved, release {release} answered")
    story.fact("after a push", release)
    functions.deploy(live)
    release = functions.invoke(functions.quote, MOON)["release"]
    require(release == "3.0.0", f"after the deployment, release {release} answered")
    story.fact("after a deployment", release)
    story.say("A mutable tag moved to 3.0.0, and the function stayed at 2.0.0 until it was deployed again.")


def _do_not_start(functions: Functions, story: Story) -> None:
    """What a wrong command, entrypoint and architecture look like to the caller."""
    wrong: dict[str, dict[str, list[str]]] = {
        "Runtime.ImportModuleError": {"Command": ["container_image.missing.handler"]},
        "Runtime.InvalidEntrypoint": {"EntryPoint": ["/missing"]},
    }
    for expected, image_config in wrong.items():
        with functions.command(**image_config):
            error = functions.invoke(functions.quote, EARTH)
        require(error.get("errorType") == expected, f"{image_config}: {error}")
        (setting, words), *_ = image_config.items()
        story.say(f"{setting} {words[0]}: {error['errorType']}, {error['errorMessage']}")
    uri = functions.image(functions.quote)
    functions.deploy(uri, Architectures=["x86_64"])
    error = functions.invoke(functions.quote, EARTH)
    functions.deploy(uri, Architectures=["arm64"])
    require("exec format error" in error.get("errorMessage", ""), f"an arm64 image on x86_64: {error}")
    story.say(f"An arm64 image for an x86_64 function was deployed, and failed: {error['errorMessage']}")
    story.fact("images that do not start", len(wrong) + 1)


def _take_away(stack: DeployedStack, functions: Functions, uri: str, story: Story) -> None:
    """Without permission or image, a deployment is refused, and the function runs on."""
    ecr, name = stack.client("ecr"), stack.output("RepositoryName")
    policy = ecr.get_repository_policy(repositoryName=name)["policyText"]
    denied: dict[str, Any] = json.loads(policy)
    denied["Statement"].append({**denied["Statement"][0], "Sid": "Denied", "Effect": "Deny"})
    ecr.set_repository_policy(repositoryName=name, policyText=json.dumps(denied))
    try:
        reason = functions.refusal(uri)
    finally:
        ecr.set_repository_policy(repositoryName=name, policyText=policy)
    require("does not have permission to access the ECR image" in reason, f"without permission: {reason}")
    story.say(f"The repository denied Lambda to pull: {reason}")
    _empty(stack)
    reason = functions.refusal(uri)
    require("does not exist" in reason, f"without the image: {reason}")
    release = functions.invoke(functions.quote, MOON)["release"]
    require(release == "3.0.0", f"without its image, the function answered {release}")
    story.fact("refused deployments", 2)
    story.say("All images were deleted: no deployment, and Lambda runs its own copy, for now.")


def _empty(stack: DeployedStack) -> None:
    """Delete all images of the repository."""
    if found := stack.client("ecr").list_images(repositoryName=stack.output("RepositoryName"))["imageIds"]:
        ids = [{"imageDigest": one["imageDigest"]} for one in found]
        stack.client("ecr").batch_delete_image(repositoryName=stack.output("RepositoryName"), imageIds=ids)


def smoke(stack: DeployedStack, output: str) -> None:
    """Invoke a function: it needs no permission of its own.

    Raises:
        ScenarioFailed: It did not answer.
    """
    answer = Functions(stack).invoke(stack.output(output), EARTH)
    require("release" in answer, f"{output} answered {answer}")


EVENT = BilledEvent("a call", partial(smoke, output="QuoteFunctionName"))

ROLES = tuple(
    Covered(name, partial(smoke, output=name)) for name in ("QuoteFunctionName", "TableFunctionName")
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the images in the repository."""
    found = stack.client("ecr").list_images(repositoryName=stack.output("RepositoryName"))["imageIds"]
    return [f"image: {one.get('imageTag', one['imageDigest'])}" for one in found]
