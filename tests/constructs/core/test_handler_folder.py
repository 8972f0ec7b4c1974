"""A handler or dependencies that Lambda would not find are refused at synthesis, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions, HardenedFunction


def make(folder: Path | lambda_.Code, handler: str | None = None, **options: Any) -> HardenedFunction:
    """A function with this code in a stack of its own."""
    given: dict[str, Any] = {} if handler is None else {"handler": handler}
    stack = Stack(App(context={"aws:cdk:bundling-stacks": []}), "Stack")
    return HardenedFunction(stack, "Function", code=folder, options=FunctionOptions(**options), **given)


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write a handler's folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


PLAIN = "def handler(event, context): ...\n"


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"app.py": PLAIN}, "app.handler"),
        ({"app.py": "handler = print"}, "app.handler"),
        (
            {"app.py": "try:\n  from fast import handler\nexcept OSError:\n  handler = 1"},
            "app.handler",
        ),
        ({"app.py": "import api as main"}, "app.main"),
        ({"app.py": "with open('x') as (a, handler): pass"}, "app.handler"),
        ({"app.py": "for handler in (print,): pass"}, "app.handler"),
        ({"app.py": "class Handler: pass"}, "app.Handler"),
        ({"app.py": "from api import *"}, "app.handler"),
        ({"app.py": "globals()['handler'] = print"}, "app.handler"),
        ({"app.py": "def __getattr__(name): return print"}, "app.handler"),
        ({"app.py": "this is a later Python ("}, "app.handler"),
        ({"app/__init__.py": PLAIN, "app.py": ""}, "app.handler"),  # Python prefers the package
        ({"api/orders.py": PLAIN}, "api.orders.handler"),
        ({"api/orders.py": PLAIN}, "api/orders.handler"),
        ({"app.cpython-314-aarch64-linux-gnu.so": ""}, "app.handler"),
    ],
)
def test_a_handler_that_lambda_finds_is_accepted(tmp_path: Path, files: dict[str, str], handler: str) -> None:
    make(write(tmp_path, files), handler)


@pytest.mark.parametrize(
    ("files", "handler", "message"),
    [
        ({"app.py": PLAIN}, "handler.handler", r"has no handler\.py, only app\.py; give module\.function"),
        ({"app.py": PLAIN}, "app.missing", r"app\.py defines no 'missing', only handler; give a function"),
        ({"app.py": "def outer():\n  def handler(): ..."}, "app.handler", "defines no 'handler', only outer"),
        ({"app.py": ""}, "app.handler", "defines no 'handler', only no names"),
        ({"App.py": PLAIN}, "app.handler", r"has no app\.py, only App\.py"),
        ({"app/__init__.py": "", "app.py": PLAIN}, "app.handler", "__init__.py defines no 'handler'"),
        ({"api/orders.py": PLAIN}, "api.order.handler", r"has no api/order\.py, only api/orders\.py"),
        ({"app.js": ""}, "app.handler", r"has no app\.py, only no Python at all"),
        ({"app.py": PLAIN}, "handler", "handler='handler': give module.function, such as 'handler.handler'"),
        ({"app.py": PLAIN}, "app.", "give module.function"),
    ],
)
def test_a_handler_that_lambda_would_not_find_is_refused(
    tmp_path: Path, files: dict[str, str], handler: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(write(tmp_path, files), handler)


def test_a_module_that_may_be_in_a_layer_or_a_package_is_accepted(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": PLAIN, "pyproject.toml": "[project]\ndependencies = ['boto3']"})
    scope = Stack(App(), "Layers")
    layer = lambda_.LayerVersion.from_layer_version_arn(
        scope, "L", "arn:aws:lambda:eu-west-1:123456789012:layer:datadog:1"
    )
    make(tmp_path, "datadog_lambda.handler.handler", layers=[layer])
    write(tmp_path, {"requirements.txt": "datadog-lambda==1 --hash=sha256:0\n"})
    make(tmp_path, "datadog_lambda.handler.handler")


def test_a_handler_of_another_runtime_is_left_to_it(tmp_path: Path) -> None:
    make(write(tmp_path, {"index.mjs": ""}), "index.handler", runtime=lambda_.Runtime.NODEJS_24_X)


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("pyproject.toml", "[project]\ndependencies = ['requests']", "uv export"),
        ("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.14'\nrequests = '*'", "poetry export"),
        ("uv.lock", "[[package]]\nname = 'mine'\n[[package]]\nname = 'requests'", "uv export"),
        ("poetry.lock", "[[package]]\nname = 'requests'", "poetry export"),
        ("pdm.lock", "[[package]]\nname = 'requests'", "pdm export"),
        ("pylock.toml", "[[packages]]\nname = 'requests'", "uv pip compile"),
        ("Pipfile", "[packages]\nrequests = '*'", "pipenv requirements --hash"),
        ("Pipfile.lock", '{"default": {"requests": {}}}', "pipenv requirements --hash"),
        ("requirements.in", "requests\n", "uv pip compile"),
    ],
)
def test_dependencies_that_would_not_be_installed_are_refused(
    tmp_path: Path, name: str, content: str, command: str
) -> None:
    write(tmp_path, {"handler.py": PLAIN, name: content})
    with pytest.raises(ValueError, match=rf"{name}: only dependencies in a requirements\.txt.*'{command}"):
        make(tmp_path)
    write(tmp_path, {"requirements.txt": "requests==1 --hash=sha256:0\n"})
    make(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "[tool.ruff]\nline-length = 88"),
        ("pyproject.toml", "[project]\nname = 'mine'\ndependencies = []"),
        ("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.14'"),
        ("pyproject.toml", "no TOML"),
        ("uv.lock", "[[package]]\nname = 'mine'"),
        ("requirements.in", "# nothing\n"),
        ("requirements.txt", "# nothing\n\n"),
        ("requests-2.0.dist-info/../pyproject.toml", "[project]\ndependencies = ['requests']"),
    ],
)
def test_a_folder_that_needs_nothing_installed_is_accepted(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "requests-2.0.dist-info").mkdir() if ".." in name else None
    make(write(tmp_path, {"handler.py": PLAIN, name: content}))


def test_the_cdk_warns_of_inline_code_in_another_module_than_index() -> None:
    code = lambda_.Code.from_inline(PLAIN)
    for handler, warnings in (("index.handler", 0), ("app.handler", 1)):
        stack = make(code, handler).stack
        found = Annotations.from_stack(stack).find_warning(
            "*", Match.string_like_regexp("give 'index.handler'")
        )
        assert len(found) == warnings, handler
