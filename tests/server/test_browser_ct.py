"""CT on the page, in Chromium: slices before and after."""

import io
from typing import Any

import numpy as np
from pydicom import dcmread

from tests.conftest import npy
from tests.server.browsing import EXAMPLES, drop, fetched, go


def canvas_mean(page: Any, share: float) -> float:
    """Of the grey levels of a column of the slice that is shown."""
    mean = page.evaluate(
        """(share) => {
          const canvas = document.querySelector("canvas.window");
          const left = Math.floor(share * canvas.width);
          const column = canvas.getContext("2d").getImageData(left, 0, 1, canvas.height).data;
          return column.reduce((sum, one) => sum + one, 0) / column.length;
        }""",
        share,
    )
    return float(mean)


def test_a_slice_is_shown_before_and_after(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.dcm", (EXAMPLES / "slice.dcm").read_bytes())
    page.wait_for_selector("text=/Noise found: [0-9.]+ HU before, [0-9.]+ HU after. Changed by [0-9.]+ HU/")
    after = canvas_mean(page, 0.65)
    page.get_by_label("before and after").fill("80")
    assert canvas_mean(page, 0.65) != after
    lit = canvas_mean(page, 0.5)
    page.get_by_label("window").select_option("lung")
    page.wait_for_selector("pre:has-text('window=lung')")
    page.get_by_label("strength").fill("0")
    page.wait_for_selector("text=/Changed by 0.0 HU/")
    assert canvas_mean(page, 0.5) != lit
    assert dcmread(io.BytesIO(fetched(page, "Download as DICOM"))).ImageType[0] == "DERIVED"
    page.check("text=difference")
    page.wait_for_selector("text=/After minus before/")


def test_dragging_over_a_slice_changes_its_window(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.dcm", (EXAMPLES / "slice.dcm").read_bytes())
    shown = page.wait_for_selector("canvas.window")
    shown.scroll_into_view_if_needed()
    box = shown.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.up()
    assert page.get_by_label("window").input_value() == "own"
    assert page.get_by_label("width", exact=True).input_value() == "1600"
    page.wait_for_selector("pre:has-text('window=-300%2F1600')")


def test_several_slices_are_leafed_through_and_come_back_as_a_zip(page: Any) -> None:
    go(page, "CT")
    page.set_input_files("input[type=file]", [EXAMPLES / "slice.dcm", EXAMPLES / "slice.dcm"])
    page.wait_for_selector("text=/Noise found/")
    with page.expect_response("**/v1/ct/denoise?*"):
        page.get_by_label("slice", exact=True).fill("2")
    assert fetched(page, "Download as DICOM")[:2] == b"PK"
    assert "-F 'dicom=@slice.dcm'" in page.locator("pre").first.text_content()


def test_an_array_wants_the_size_of_its_pixels(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.npy", npy(np.full((32, 32), 40, np.float32)))
    page.wait_for_selector(".problem >> text=/spacing_mm/")
    page.get_by_label("size of a pixel, mm").fill("0.6")
    page.wait_for_selector("canvas.window")
