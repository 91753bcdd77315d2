"""Small work stays on the event loop; large work leaves it."""

import asyncio
import threading

import pytest

from service.placement import INLINE_BYTES, decodes, placed


@pytest.mark.parametrize(("size", "here"), [(0, True), (INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
def test_the_size_decides_where_a_stage_runs(size: int, here: bool) -> None:
    ran_in = asyncio.run(placed(size, threading.get_ident))
    assert (ran_in == threading.get_ident()) is here


@pytest.mark.parametrize(
    ("pictures", "here"), [([(28, 28)] * 4, True), ([(28, 28)] * 5, False), ([(256, 256)], True), ([(257, 256)], False)]
)
def test_a_stage_that_finds_large_pictures_leaves(pictures: list[tuple[int, int]], here: bool) -> None:
    def stage() -> int:
        pixels = 0
        for sides in pictures:
            pixels = decodes(sides, pixels)
        return threading.get_ident()

    assert (asyncio.run(placed(0, stage)) == threading.get_ident()) is here


def test_outside_of_an_event_loop_all_is_decoded_where_it_is() -> None:
    assert decodes((4000, 4000)) == 16_000_000
