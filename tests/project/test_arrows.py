"""The import arrows of the house, and that each kind of wrong one is seen."""

from pathlib import Path

import pytest

from tests.project.arrows import (
    BEFORE_SET_UP,
    beyond_the_requirements,
    beyond_the_standard_library,
    wrong_arrows,
)

ROOT = Path(__file__).resolve().parents[2]


def test_every_import_points_where_its_room_may() -> None:
    assert wrong_arrows(ROOT) == []


def test_the_library_imports_what_its_wheel_requires_and_no_more() -> None:
    assert beyond_the_requirements(ROOT) == []


def test_what_makes_the_environment_needs_only_the_standard_library() -> None:
    assert beyond_the_standard_library(ROOT) == []


def house(root: Path, file: str, source: str) -> Path:
    """A house with one room in it."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return root


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("app.py", "from cdk_lambda_patterns.core.function import HardenedFunction"),
        ("run.py", "import stacks.storage.thumbnailer"),
        ("stacks/storage/thumbnailer.py", "import scenarios.framework"),
        ("stacks/pattern_stack.py", "from tasks import demo"),
        ("constructs/cdk_lambda_patterns/storage/thumbnailer.py", "from stacks.catalogue import find"),
        ("constructs/cdk_lambda_patterns/core/function.py", "def f():\n    import localaws"),
        ("scenarios/storage/thumbnailer.py", "from cdk_lambda_patterns import HardenedFunction"),
        ("scenarios/support/faults.py", "from localaws import LocalAws"),
        (
            "localaws/src/localaws/recorder.py",
            "try:\n    from scenarios import framework\nexcept ImportError:\n    pass",
        ),
        ("localaws/src/localaws/pace.py", "from helpers.stacks import deploy"),
        ("localaws/tests/sqs/test_redrive.py", "from scenarios.support.endpoints import Endpoint"),
        ("localaws/tests/conftest.py", "from tasks.demo import deploy"),
        ("localaws/tests/s3/test_events.py", "def test():\n    import cdk_lambda_patterns"),
        ("localaws/tests/rds/test_proxies.py", "from tests.templates import Resources"),
        ("tasks/demo.py", "from stacks.storage.thumbnailer import ThumbnailerStack"),
        ("tasks/demo.py", "from stacks import pattern_stack"),
        ("tasks/cdk.py", "import cdk_lambda_patterns"),
        ("benchmarks/synth.py", "import tests.templates"),
        ("tasks/bench.py", "import benchmarks.synth"),
        ("lambda_src/storage/thumbnailer/handler.py", "from cdk_lambda_patterns import limits"),
        ("lambda_src/storage/thumbnailer/handler.py", "from ..metadata_sync import look"),
        ("lambda_src/storage/thumbnailer/handler.py", "from storage.metadata_sync import look"),
        ("lambda_src/shared/s3_events.py", "from ..storage.thumbnailer import look"),
        ("lambda_src/shared/s3_events.py", "from notes.messages import Request"),
        ("lambda_src/notes/table.py", "from web.alb_function import alb"),
        ("scenarios/storage/thumbnailer.py", "from storage.thumbnailer import look"),
        ("constructs/cdk_lambda_patterns/storage/thumbnailer.py", "import storage.thumbnailer.handler"),
        ("scenarios/storage/thumbnailer.py", "from shared.s3_events import parse_record"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, source: str) -> None:
    found = wrong_arrows(house(tmp_path, file, source))
    assert len(found) == 1
    assert found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("app.py", "from stacks.catalogue import ARCHITECTURES"),
        ("stacks/storage/thumbnailer.py", "from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer"),
        (
            "constructs/cdk_lambda_patterns/core/function.py",
            "from . import limits\nfrom constructs import Construct",
        ),
        ("tasks/demo.py", "from stacks.catalogue import find\nfrom stacks import catalogue\nimport localaws"),
        ("scenarios/storage/thumbnailer.py", "from scenarios.framework import Outcome"),
        ("lambda_src/storage/thumbnailer/handler.py", "from settings import Settings\nimport boto3"),
        ("lambda_src/storage/thumbnailer/handler.py", "from shared.s3_events import parse_record"),
        ("lambda_src/web/alb_function/handler.py", "from notes.messages import Request"),
        ("lambda_src/notes/table.py", "from shared.clients import Client\nfrom .note import Note"),
        ("lambda_src/storage/thumbnailer/handler.py", "from .look import Look\nfrom . import look"),
        ("lambda_src/storage/thumbnailer/decoders/jpeg.py", "from ..look import Look"),
        ("lambda_src/shared/s3_events.py", "from .records import Record"),
        ("benchmarks/thumbnails.py", "from storage.thumbnailer import pictures"),
        ("tests/handlers/storage/test_thumbnailer.py", "from storage.thumbnailer import look"),
        (
            "localaws/tests/sqs/test_redrive.py",
            "from helpers.stacks import deploy\nfrom localaws import LocalAws",
        ),
        (
            "tests/local/storage/test_thumbnailer.py",
            "import stacks.pattern_stack, localaws, scenarios, tasks",
        ),
    ],
)
def test_a_right_arrow_is_let_through(tmp_path: Path, file: str, source: str) -> None:
    assert wrong_arrows(house(tmp_path, file, source)) == []


def test_a_requirement_that_the_wheel_does_not_name_is_found(tmp_path: Path) -> None:
    root = house(tmp_path, "constructs/cdk_lambda_patterns/a.py", "import json, aws_cdk.aws_s3, boto3")
    assert [line.partition(";")[0] for line in beyond_the_requirements(root)] == [
        "constructs/cdk_lambda_patterns/a.py:1 imports boto3"
    ]


def test_a_third_party_import_before_set_up_is_found(tmp_path: Path) -> None:
    for file in BEFORE_SET_UP:
        house(tmp_path, file, "import json\nfrom tasks.errors import TaskError\n")
    house(
        tmp_path,
        "stacks/catalogue.py",
        "if TYPE_CHECKING:\n    import aws_cdk\nfrom stacks.pattern_stack import PatternStack",
    )
    house(tmp_path, "tasks/progress.py", "import rich")
    assert [line.partition(";")[0] for line in beyond_the_standard_library(tmp_path)] == [
        "stacks/catalogue.py:3 imports stacks.pattern_stack.PatternStack",
        "tasks/progress.py:1 imports rich",
    ]
