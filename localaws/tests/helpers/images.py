"""Container images for tests: built and pushed by the program that the CDK CLI starts, in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localaws import LocalAws
from localaws.images.build import Build
from localaws.images.registry import push
from localaws.images.store import VARIABLE, Store

BASE = "FROM public.ecr.aws/lambda/python:3.14\n"
HANDLER = {"app.py": "def handler(event, context):\n    return event\n"}
APP = f'{BASE}COPY app.py ${{LAMBDA_TASK_ROOT}}/\nCMD ["app.handler"]\n'


class Images:
    """Builds images in a folder, and pushes them to repositories of an embedded AWS."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        self.aws = aws
        self.ecr = aws.client("ecr")
        self.store = Store(Path(aws.environment[VARIABLE]))
        self._folder = folder
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        self._login = base64.b64decode(token).decode().split(":")

    def repository(self, name: str, **options: Any) -> str:
        """Make a repository, and return its URI."""
        made: str = self.ecr.create_repository(repositoryName=name, **options)["repository"]["repositoryUri"]
        return made

    def build(self, files: Mapping[str, str] = HANDLER, dockerfile: str = APP, **options: Any) -> str:
        """Build an image, and return its digest."""
        for name, text in {**files, "Dockerfile": dockerfile, ".dockerignore": "Dockerfile"}.items():
            (self._folder / name).write_text(text)
            (self._folder / name).chmod(0o755 if name.endswith(".sh") else 0o644)
        return Build(self._folder, self.store, **options).run()

    def push(self, reference: str, image: str) -> str:
        """Push an image, and return its URI with the digest."""
        registry = reference.partition("/")[0]
        self.store.log_in(registry, *self._login)
        endpoint_url, ca_file = self.aws.endpoint_url, str(self.aws.ca_file)
        push(self.store, reference, image, endpoint_url=endpoint_url, ca_file=ca_file)
        return f"{reference.rpartition(':')[0]}@{image}"

    def manifest(self, image: str) -> str:
        """The manifest of an image, as text."""
        return self.store.blob(image).decode()

    def changed(self, image: str, **config: Any) -> str:
        """An image with another configuration: its digest."""
        manifest = json.loads(self.store.blob(image))
        known = json.loads(self.store.blob(manifest["config"]["digest"]))
        data = json.dumps(known | config).encode()
        manifest["config"] |= {"digest": self.store.add(data), "size": len(data)}
        return self.store.add(json.dumps(manifest).encode())
