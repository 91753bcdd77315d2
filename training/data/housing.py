"""The two small tables of linear regression, committed under `tables/`."""

import io

import numpy as np
from numpy.typing import NDArray

from service.bundle import Attribute, Quantity
from training.data.sources import CITY_PROFIT, PORTLAND_HOUSING, Source
from training.data.store import fetch

PROFIT_UNIT = "ten thousand dollars"
CITY = (Attribute(name="population", description="of the city", unit="ten thousand people", range=(0, 100)),)
PROFIT = (Quantity(name="profit", description="of a food truck there", unit=PROFIT_UNIT),)


def city_profit() -> NDArray[np.float64]:
    """[97, 2]: a city's population (10,000 people) and a food truck's profit there (10,000 dollars)."""
    return _numbers(CITY_PROFIT)


def portland_housing() -> NDArray[np.float64]:
    """[47, 3]: a house's area (square feet), its bedrooms and its price (dollars)."""
    return _numbers(PORTLAND_HOUSING)


def _numbers(source: Source) -> NDArray[np.float64]:
    return np.loadtxt(io.StringIO(fetch(source.name).text()), delimiter=",", skiprows=1)
