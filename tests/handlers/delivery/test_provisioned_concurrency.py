"""The handler of `provisioned-concurrency`: what is outside it runs once."""

from __future__ import annotations

import pytest

from delivery.provisioned_concurrency.tariff import Tariff, UnknownCityError, distance
from tests.handlers.importing import import_handler

MODULE = "delivery.provisioned_concurrency.handler"


def test_calls_of_one_environment_share_what_it_has_initialized() -> None:
    function = import_handler(MODULE, {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"})
    first, second = (function.handler({"from": "Berlin", "to": "Paris"}, None) for _ in range(2))
    assert first == second
    assert (first["euros"], first["initialization"]) == ("7.41", "provisioned-concurrency")
    other = import_handler(MODULE, {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"})
    assert other.handler({"from": "Paris", "to": "Berlin"}, None)["environment"] != first["environment"]


def test_the_way_back_costs_the_same_and_no_way_the_least() -> None:
    tariff = Tariff.load()
    assert tariff.price({"from": "Rome", "to": "Dublin"}) == tariff.price({"from": "Dublin", "to": "Rome"})
    assert str(tariff.price({"from": "Rome", "to": "Rome"})) == "3.90"


def test_distances_are_those_over_the_earth() -> None:
    assert distance((0, 0), (0, 180)) == pytest.approx(20_015, abs=1)
    assert distance((52.52, 13.4), (48.86, 2.35)) == pytest.approx(878, abs=1)


@pytest.mark.parametrize(
    "event",
    [None, "Berlin", {}, {"from": "Berlin"}, {"from": "Berlin", "to": 1}, {"from": "X", "to": "Rome"}],
)
def test_a_request_without_two_cities_is_refused(event: object) -> None:
    with pytest.raises(UnknownCityError, match=r"give one of Amsterdam, Athens, Berlin"):
        Tariff.load().price(event)
