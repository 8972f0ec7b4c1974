"""The program for `CDK_DOCKER`: the commands of `docker` that the CDK CLI uses for image assets.

What it does not know (`run` for the bundling of code, above all) goes to Docker itself, if that is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from localaws.images.build import Build
from localaws.images.dockerfile import BuildError
from localaws.images.registry import PushError, push
from localaws.images.store import VARIABLE, Store

_COMMANDS = "build, images, inspect, login, logout, push, tag"
# How the CDK CLI names the images that it builds to push them; others are for containers on this machine.
_ASSET = "cdkasset-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--config"]:  # credential helpers, which the embedded AWS does not need
        words = words[2:]
    command = words[0] if words else ""
    if command not in _parsers():
        return _docker(words, f"{command or 'no command'}: here are {_COMMANDS}; no container can run")
    if VARIABLE not in os.environ:
        print(f"{VARIABLE} is not set: this program works for an embedded AWS only", file=sys.stderr)
        return 2
    given = _parsers()[command].parse_args(words[1:])
    if command == "build" and not (given.tag or "").startswith(_ASSET) and shutil.which("docker"):
        return _docker(words, "")  # for `run`, which needs Docker
    try:
        return _run(command, given, Store.here())
    except (BuildError, OSError, PushError) as error:
        return _failed(str(error))


def _parsers() -> dict[str, argparse.ArgumentParser]:
    found = {name: argparse.ArgumentParser(f"docker {name}") for name in _COMMANDS.split(", ")}
    build = found["build"]
    build.add_argument("folder", type=Path)
    build.add_argument("--tag", "-t")
    build.add_argument("--file", "-f", type=Path)
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("--target")
    build.add_argument("--platform")
    build.add_argument("--output", "-o", default="type=docker")
    for name in ("--cache-from", "--cache-to", "--network", "--ssh", "--progress", "--provenance", "--sbom"):
        build.add_argument(name, action="append")  # nothing here depends on them
    for name in ("--no-cache", "--pull", "--load", "--quiet"):
        build.add_argument(name, action="store_true")
    for name in ("--secret", "--build-context"):
        build.add_argument(name, action="append")
    found["images"].add_argument("--format")
    found["images"].add_argument("--filter", default="")
    found["inspect"].add_argument("image")
    found["login"].add_argument("--username", "-u", required=True)
    found["login"].add_argument("--password-stdin", action="store_true", required=True)
    for name in ("login", "logout"):
        found[name].add_argument("registry")
    found["push"].add_argument("image")
    found["tag"].add_argument("image")
    found["tag"].add_argument("name")
    return found


def _run(command: str, given: argparse.Namespace, store: Store) -> int:
    if command == "build":
        return _build(given, store)
    if command == "images":
        suffix = given.filter.partition(":")[2]
        print("\n".join(tag for tag in store.tags() if "/" in tag and tag.endswith(f":{suffix}")))
        return 0
    if command == "login":
        store.log_in(given.registry.removeprefix("https://"), given.username, sys.stdin.read().strip())
        return 0
    if command == "logout":
        store.log_out(given.registry.removeprefix("https://"))
        return 0
    manifest = store.manifest(given.image)
    if manifest is None:
        if command == "inspect":
            print("[]")
        return _failed(f"no such image: {given.image}; this program has only the images that it builds")
    if command == "inspect":
        config = json.loads(store.blob(json.loads(store.blob(manifest))["config"]["digest"]))
        shown = {"Id": manifest, "Architecture": config["architecture"], "Os": "linux"}
        print(json.dumps([{**shown, "Config": config["config"], "RootFS": config["rootfs"]}], indent=2))
    elif command == "tag":
        store.tag(given.name, manifest)
    else:
        endpoint_url, ca_file = os.environ["AWS_ENDPOINT_URL"], os.environ.get("AWS_CA_BUNDLE")
        push(store, given.image, manifest, endpoint_url=endpoint_url, ca_file=ca_file)
        print(f"{given.image.rpartition(':')[2]}: digest: {manifest}")
    return 0


def _build(given: argparse.Namespace, store: Store) -> int:
    if given.secret or given.build_context:
        raise BuildError("--secret and --build-context are not supported here: no RUN could use them")
    if given.output not in ("type=docker", "type=image"):
        raise BuildError(
            f"--output={given.output}: images are stored for a push; give type=docker or leave it out"
        )
    pairs = (text.partition("=") for text in given.build_arg)
    manifest = Build(
        given.folder,
        store,
        dockerfile=given.file,
        arguments={name: value if sign else os.environ.get(name, "") for name, sign, value in pairs},
        target=given.target,
        platform=given.platform,
    ).run()
    if given.tag:
        store.tag(given.tag, manifest)
    print(manifest)
    return 0


def _docker(words: Sequence[str], why: str) -> int:
    """Let Docker do it, if it is there."""
    program = shutil.which("docker")
    if program is None:
        return _failed(why)
    return subprocess.run([program, *words], check=False).returncode


def _failed(why: str) -> int:
    print(f"localaws.images: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
