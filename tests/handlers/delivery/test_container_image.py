"""The functions of the image: quotes by the table that is in it."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from delivery.container_image.postage import InvalidParcel, Postage
from tests.handlers.importing import import_handler


@pytest.fixture(scope="module")
def function() -> ModuleType:
    return import_handler("delivery.container_image.handler", {"RELEASE": "1.2.3"})


CONTEXT = SimpleNamespace(
    function_name="quote",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:quote",
    aws_request_id="id",
)


@pytest.mark.parametrize(
    ("zone", "grams", "cents"),
    [("domestic", 1, 395), ("domestic", 500, 395), ("domestic", 501, 450), ("world", 31_500, 6107)],
)
def test_a_quote(function: ModuleType, zone: str, grams: int, cents: int) -> None:
    answer = function.handler({"zone": zone, "grams": grams}, CONTEXT)
    assert answer == {"cents": cents, "release": "1.2.3"}


@pytest.mark.parametrize(
    ("parcel", "reason"),
    [
        ({"zone": "moon", "grams": 1}, "zone must be one of domestic, europe, world, not 'moon'"),
        ({"zone": [], "grams": 1}, "zone must be one of domestic, europe, world, not []"),
        ({"zone": "europe", "grams": 0}, "grams must be a whole number above 0, not 0"),
        ({"zone": "europe", "grams": True}, "grams must be a whole number above 0, not True"),
        ({"zone": "europe", "grams": "1"}, "grams must be a whole number above 0, not '1'"),
        ({"zone": "europe", "grams": 31_501}, "grams must be at most 31500, not 31501"),
        ({}, "zone must be one of domestic, europe, world, not None"),
        ([], "zone must be one of domestic, europe, world, not None"),
        (None, "zone must be one of domestic, europe, world, not None"),
    ],
)
def test_a_parcel_without_a_price(function: ModuleType, parcel: Any, reason: str) -> None:
    assert function.handler(parcel, CONTEXT) == {"error": reason, "release": "1.2.3"}


def test_the_table(function: ModuleType) -> None:
    expected = {"zones": ["domestic", "europe", "world"], "weights": 6, "release": "1.2.3"}
    assert function.table(None, CONTEXT) == expected


def test_another_table(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"zones": {"a": 150}, "weights": [[10, 100]]}))
    assert Postage.load(file).price({"zone": "a", "grams": 10}) == 150
    with pytest.raises(InvalidParcel):
        Postage.load(file).price({"zone": "a", "grams": 11})
