"""The two functions of the image: invokes them, and gives one of them other images and commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, ScenarioFailed

#: A parcel for each release: only the second one has a price for the moon.
EARTH, MOON = {"zone": "europe", "grams": 800}, {"zone": "moon", "grams": 800}


class Functions:
    """The functions of the stack."""

    def __init__(self, stack: DeployedStack) -> None:
        self._lambda = stack.client("lambda")
        self.quote, self.table = stack.output("QuoteFunctionName"), stack.output("TableFunctionName")

    def invoke(self, name: str, event: Any = None) -> Any:
        """Invoke a function, and return what it returned or, after an error, its error."""
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        return json.load(answer["Payload"])

    def image(self, name: str) -> str:
        """The URI of a function's image, with its digest."""
        return str(self._lambda.get_function(FunctionName=name)["Code"]["ResolvedImageUri"])

    def deploy(self, uri: str, **settings: Any) -> None:
        """Give the quoting function another image."""
        self._lambda.update_function_code(FunctionName=self.quote, ImageUri=uri, **settings)
        self._lambda.get_waiter("function_updated_v2").wait(FunctionName=self.quote)

    def refusal(self, uri: str) -> str:
        """Why Lambda does not take an image.

        Raises:
            ScenarioFailed: It does.
        """
        try:
            self.deploy(uri)
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        raise ScenarioFailed(f"{uri} was deployed")

    @contextmanager
    def command(self, **image_config: list[str]) -> Iterator[None]:
        """Run another command or entrypoint of the image while the body runs."""
        self._configure(image_config)
        try:
            yield
        finally:
            self._configure({})

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Give the function its own image back after the body."""
        code = self._lambda.get_function(FunctionName=self.quote)
        uri, architectures = code["Code"]["ImageUri"], code["Configuration"]["Architectures"]
        try:
            yield
        finally:
            self.deploy(uri, Architectures=architectures)

    def _configure(self, image_config: dict[str, list[str]]) -> None:
        self._lambda.update_function_configuration(FunctionName=self.quote, ImageConfig=image_config)
        self._lambda.get_waiter("function_updated_v2").wait(FunctionName=self.quote)
