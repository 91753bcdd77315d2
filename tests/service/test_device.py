"""What a GPU's errors become, and that nothing runs beside a capture."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import numpy as np
import pytest

from service.bundle import Arrays
from service.engine.device import Device
from service.errors import DeviceLost, DeviceMemoryFull, QuartetError

FULL = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Failed to "
    "allocate memory for requested buffer of size 8589934592",
    "CUDA failure 2: out of memory ; GPU=0",
)
LOST = "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaStreamSynchronize(stream)"


def failing(text: str) -> NoReturn:
    raise RuntimeError(text)


@pytest.mark.parametrize("text", FULL)
def test_a_full_memory_refuses_that_batch_and_the_next_one_runs(text: str) -> None:
    device = Device()
    with pytest.raises(DeviceMemoryFull) as refused:
        device.run(lambda: failing(text))
    assert (refused.value.status, refused.value.retry_after_s, device.lost) == (503, 1, False)
    assert device.run(lambda: {"x": np.ones(1)})["x"] == 1


@pytest.mark.parametrize("way", ["run", "capture"])
def test_a_lost_device_is_remembered(way: str) -> None:
    device = Device()
    with pytest.raises(DeviceLost):
        getattr(device, way)(lambda: failing(LOST))
    assert device.lost


def test_another_error_stays_what_it_is() -> None:
    device = Device()
    with pytest.raises(RuntimeError, match="poison") as raised:
        device.run(lambda: failing("poison"))
    assert not isinstance(raised.value, QuartetError)
    assert not device.lost


def test_runs_go_side_by_side() -> None:
    device, both = Device(), threading.Barrier(2, timeout=30)

    def work() -> Arrays:
        both.wait()
        return {}

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(device.run, [work, work])) == [{}, {}]


def test_a_capture_waits_for_what_runs_and_lets_nothing_begin() -> None:
    device, begun, go_on, order = Device(), threading.Event(), threading.Event(), []

    def running() -> Arrays:
        begun.set()
        go_on.wait(30)
        order.append("running")
        return {}

    def capture() -> None:
        order.append("captured")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(device.run, running)
        begun.wait(30)
        second = pool.submit(device.capture, capture)
        assert not second.done()
        go_on.set()
        first.result(30)
        second.result(30)
    assert order == ["running", "captured"]
