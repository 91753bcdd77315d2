"""Two sets of house prices: single houses of Ames, and districts of California. Attributes as the graph takes them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.bundle import Attribute
from training.data.frames import Frame, read_frame, read_parquet
from training.data.given import replaceable

Table = tuple[NDArray[np.float32], NDArray[np.float64]]
"""Rows [N, A] and prices in dollars [N]."""

MISSING = -1.0
QUALITIES = "Poor", "Fair", "Typical", "Good", "Excellent"


def _number(name: str, description: str, low: float, high: float, unit: str = "", needed: bool = False) -> Attribute:
    missing = None if needed else MISSING
    return Attribute(name=name, description=description, range=(low, high), unit=unit, missing=missing)


def _category(name: str, description: str, *values: str, needed: bool = False) -> Attribute:
    return Attribute(name=name, description=description, values=values, missing=None if needed else MISSING)


FEET = "square feet"
# Named as the data name them, in lower case; values spelled as there.
AMES = (
    _number("gr_liv_area", "living area above ground", 200, 10_000, FEET, needed=True),
    _number("year_built", "when it was built", 1800, 2030, needed=True),
    _category(
        "neighborhood",
        "the part of Ames",
        *("Bloomington_Heights", "Blueste", "Briardale", "Brookside", "Clear_Creek", "College_Creek", "Crawford"),
        *("Edwards", "Gilbert", "Green_Hills", "Greens", "Iowa_DOT_and_Rail_Road", "Landmark", "Meadow_Village"),
        *("Mitchell", "North_Ames", "Northpark_Villa", "Northridge", "Northridge_Heights", "Northwest_Ames"),
        *("Old_Town", "Sawyer", "Sawyer_West", "Somerset", "South_and_West_of_Iowa_State_University"),
        *("Stone_Brook", "Timberland", "Veenker"),
        needed=True,
    ),
    _number("year_remod_add", "when it was last remodelled, or built", 1800, 2030),
    _number("lot_area", "of the plot", 500, 500_000, FEET),
    _number("lot_frontage", "length of the plot along the street, 0 for none", 0, 500, "feet"),
    _number("total_bsmt_sf", "basement, 0 for none", 0, 10_000, FEET),
    _number("bsmt_unf_sf", "unfinished part of the basement", 0, 10_000, FEET),
    _number("first_flr_sf", "first floor", 200, 10_000, FEET),
    _number("full_bath", "full bathrooms above ground", 0, 10),
    _number("half_bath", "half bathrooms above ground", 0, 10),
    _number("bsmt_full_bath", "full bathrooms in the basement", 0, 10),
    _number("bedroom_abvgr", "bedrooms above ground", 0, 20),
    _number("kitchen_abvgr", "kitchens above ground", 0, 10),
    _number("totrms_abvgrd", "rooms above ground, without bathrooms", 1, 30),
    _number("fireplaces", "fireplaces", 0, 10),
    _number("garage_cars", "cars that the garage takes, 0 for none", 0, 10),
    _number("garage_area", "of the garage", 0, 5000, FEET),
    _number("mas_vnr_area", "of masonry veneer", 0, 5000, FEET),
    _number("wood_deck_sf", "of wooden decks", 0, 5000, FEET),
    _number("open_porch_sf", "of open porches", 0, 5000, FEET),
    _number("screen_porch", "of screened porches", 0, 5000, FEET),
    _number("year_sold", "when it is sold", 2006, 2010),
    _number("longitude", "of the house", -94, -93, "degrees"),
    _number("latitude", "of the house", 41, 43, "degrees"),
    _category(
        "overall_cond",
        "condition",
        *("Very_Poor", "Poor", "Fair", "Below_Average", "Average", "Above_Average", "Good", "Very_Good", "Excellent"),
    ),
    _category("bldg_type", "type of building", "OneFam", "TwoFmCon", "Duplex", "TwnhsE", "Twnhs"),
    _category(
        "house_style",
        "storeys",
        *("One_Story", "One_and_Half_Unf", "One_and_Half_Fin", "Two_Story", "Two_and_Half_Unf", "Two_and_Half_Fin"),
        *("SFoyer", "SLvl"),
    ),
    _category(
        "ms_zoning",
        "zoning",
        *("Residential_Low_Density", "Residential_Medium_Density", "Residential_High_Density"),
        *("Floating_Village_Residential", "A_agr", "C_all", "I_all"),
    ),
    _category("exter_cond", "condition of the outside", *QUALITIES),
    _category("foundation", "foundation", "PConc", "CBlock", "BrkTil", "Slab", "Stone", "Wood"),
    _category("bsmt_exposure", "walls of the basement in the open", "No_Basement", "No", "Mn", "Av", "Gd"),
    _category(
        "bsmtfin_type_1",
        "how the basement is finished",
        *("No_Basement", "Unf", "LwQ", "Rec", "BLQ", "ALQ", "GLQ"),
    ),
    _category("heating_qc", "quality of the heating", *QUALITIES),
    _category("central_air", "air conditioning", "N", "Y"),
    _category("functional", "damage", "Sal", "Sev", "Maj2", "Maj1", "Mod", "Min2", "Min1", "Typ"),
    _category("garage_finish", "inside of the garage", "No_Garage", "Unf", "RFn", "Fin"),
    _category("sale_condition", "of the sale", "Normal", "Abnorml", "AdjLand", "Alloca", "Family", "Partial"),
)

CALIFORNIA = (
    _number("median_income", "of households in the district", 0, 20, "ten thousand dollars", needed=True),
    _number("house_age", "median age of the houses", 0, 100, "years"),
    _number("average_rooms", "rooms per household", 0, 200),
    _number("average_bedrooms", "bedrooms per household", 0, 100),
    _number("population", "people in the district", 0, 100_000),
    _number("average_occupancy", "people per household", 0, 2000),
    _number("latitude", "of the district", 32, 42.5, "degrees", needed=True),
    _number("longitude", "of the district", -125, -114, "degrees", needed=True),
)


@replaceable
@cache
def ames_houses() -> Table:
    """2,930 houses and what was paid for each."""
    columns = {name.lower(): values for name, values in read_frame("ames-housing").items()}
    return _rows(columns, AMES), columns["sale_price"].astype(np.float64)


@replaceable
@cache
def california_districts() -> Table:
    """20,640 districts and the median value of their houses."""
    columns = list(read_parquet("california-housing")["california_housing"].values())
    return np.column_stack(columns[:-1]).astype(np.float32), columns[-1] * 100_000.0


def _rows(columns: Frame, attributes: tuple[Attribute, ...]) -> NDArray[np.float32]:
    encoded = [
        columns[one.name] if one.range else [one.positions[text] for text in columns[one.name]] for one in attributes
    ]
    return np.column_stack(encoded).astype(np.float32)
