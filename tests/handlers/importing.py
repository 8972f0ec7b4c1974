"""Imports a handler's module anew, as a cold start does: with the environment of a function."""

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from unittest import mock


def import_handler(name: str, environment: Mapping[str, str]) -> ModuleType:
    """Import a module that reads its environment and makes its clients when it loads.

    The other modules of its package are imported as usual: their classes are the ones that a test imports.

    Args:
        name: The module: ``"messaging.sqs_consumer.handler"``.
        environment: Environment variables while it loads, in addition to those of the process.
    """
    with mock.patch.dict(os.environ, environment):
        sys.modules.pop(name, None)
        return importlib.import_module(name)
