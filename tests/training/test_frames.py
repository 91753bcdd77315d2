"""Tables of packages are read without pandas, and nothing in them is run."""

import io
import os
import pickle

import pytest

from training.data import DataError
from training.data.frames import FrameUnpickler, read_frame, read_parquet


def test_a_frame_of_pandas_is_read_column_by_column() -> None:
    sales = read_frame("wine-sales")
    assert list(sales) == ["rownames", "time", "value"]
    assert (len(sales["value"]), sales["value"][0], sales["value"][-1]) == (176, 15136, 23356)
    houses = read_frame("ames-housing")
    assert (len(houses), len(houses["Sale_Price"])) == (75, 2930)
    assert (houses["Neighborhood"][0], houses["Gr_Liv_Area"][0], houses["Sale_Price"][0]) == (
        "North_Ames",
        1656,
        215000,
    )


def test_parquet_is_read_column_by_column() -> None:
    districts = read_parquet("california-housing")["california_housing"]
    assert (len(districts), districts["MedInc"][0], districts["MedHouseVal"][0]) == (9, 8.3252, 4.526)
    birds = read_parquet("birds")
    assert (len(birds["birds_train"]["location"]), len(birds["birds_test"]["location"])) == (322, 323)


def test_a_pickle_of_anything_else_is_refused() -> None:
    with pytest.raises(DataError, match="no part of a table"):
        FrameUnpickler(io.BytesIO(pickle.dumps(os.getcwd))).load()
