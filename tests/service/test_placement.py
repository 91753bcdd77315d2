"""Small work stays on the event loop; large work leaves it."""

import asyncio
import threading

import pytest

from service.placement import INLINE_BYTES, placed


@pytest.mark.parametrize(("size", "here"), [(0, True), (INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
def test_the_size_decides_where_a_stage_runs(size: int, here: bool) -> None:
    ran_in = asyncio.run(placed(size, threading.get_ident))
    assert (ran_in == threading.get_ident()) is here
