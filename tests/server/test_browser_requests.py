"""The request that the page shows does, in every language, what the page did."""

import shutil
from pathlib import Path
from typing import Any

from tests.server.browsing import EXAMPLES, SEVEN, draw, fetched, go, run_what_is_shown


def test_the_request_that_is_shown_runs_in_every_language(desktop: Any, tmp_path: Path) -> None:
    draw(desktop, SEVEN)
    desktop.wait_for_selector("text=/7, .* % sure/")
    (tmp_path / "drawing.png").write_bytes(fetched(desktop, "Save drawing.png"))
    run_what_is_shown(desktop, tmp_path, "digit")
    go(desktop, "Credit")
    desktop.wait_for_selector(".waterfall")
    run_what_is_shown(desktop, tmp_path, "default_probability")
    go(desktop, "Samples")
    desktop.wait_for_selector("text=/24 samples/")
    assert fetched(desktop, "Download")
    run_what_is_shown(desktop, tmp_path, "answer.png")
    desktop.goto(f"{desktop.url.split('#')[0]}#models/linear-housing")
    desktop.click("button:has-text('Ask')")
    desktop.wait_for_selector(".result > *")
    run_what_is_shown(desktop, tmp_path, "price")


def test_the_request_for_a_series_runs_in_every_language(desktop: Any, tmp_path: Path) -> None:
    for name in ("one slice.dcm", "it's two.dcm"):
        shutil.copy(EXAMPLES / "slice.dcm", tmp_path / name)
    go(desktop, "CT")
    desktop.set_input_files("input[type=file]", sorted(tmp_path.iterdir()))
    desktop.wait_for_selector("text=/Noise found/")
    run_what_is_shown(desktop, tmp_path, "answer.png")
    assert fetched(desktop, "Download as DICOM")
    run_what_is_shown(desktop, tmp_path, "answer.zip")
