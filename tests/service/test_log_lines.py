"""Whatever is logged, by whom it may be, is a line of JSON."""

import json
import logging
import os
import subprocess
import sys

import pytest

from service.log_lines import ForeignLines, JsonFormatter

SPOKEN = """
import logging, threading, warnings
from service.log_lines import speak_json
speak_json()
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
logging.getLogger("library").error("two\\nlines")
raise ValueError("nobody catches this")
"""


def test_a_record_is_one_line_with_its_traceback_inside() -> None:
    try:
        raise ValueError("wrong\nvalue")
    except ValueError:
        record = logging.LogRecord("library", logging.ERROR, "x.py", 1, "%s failed", ("it",), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "library", "it failed")
    assert "ValueError: wrong\nvalue" in told["exception"]


def test_warnings_threads_and_what_nobody_catches_speak_so_too() -> None:
    ran = subprocess.run([sys.executable, "-c", SPOKEN], capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["logger"] for line in told] == ["py.warnings", "service", "library", "service"]
    assert "ZeroDivisionError" in told[1]["exception"]
    assert told[3]["message"] == "uncaught ValueError"


def test_what_c_code_writes_comes_out_as_lines(caplog: pytest.LogCaptureFixture) -> None:
    foreign = ForeignLines()
    os.write(foreign.end, b"gdcm: half a li")
    os.write(foreign.end, b"ne\n\nterminate called\n")
    os.close(foreign.end)  # with the last writer the thread ends
    foreign.thread.join(10)
    assert [record.getMessage() for record in caplog.records] == ["gdcm: half a line", "terminate called"]
