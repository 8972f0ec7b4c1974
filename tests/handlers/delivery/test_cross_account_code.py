"""The handler of `cross-account-code`: prices with tax."""

from __future__ import annotations

import pytest

from delivery.cross_account_code.handler import InvalidPriceError, handler


@pytest.mark.parametrize(
    ("net", "gross"), [("100.00", "119.00"), ("0", "0.00"), ("0.01", "0.01"), ("1000000", "1190000.00")]
)
def test_a_price_has_its_tax_and_names_the_release(net: str, gross: str) -> None:
    assert handler({"net": net}, None) == {"gross": gross, "release": "1"}


@pytest.mark.parametrize(
    "event",
    [None, "100", {}, *({"net": net} for net in (100, "", "-1", "NaN", "Infinity", "1000001", "1e9"))],
)
def test_a_request_without_a_price_is_refused(event: object) -> None:
    with pytest.raises(InvalidPriceError, match='give a price from "0" to "1000000"'):
        handler(event, None)
