"""A paced page is made once for those who wait together, and never for those who asked after it was begun."""

import asyncio

from service.http.throttling import Throttled


def test_those_who_ask_together_get_one_and_who_asks_later_gets_another() -> None:
    begun, free = 0, asyncio.Event()

    async def make() -> bytes:
        nonlocal begun
        begun += 1
        answer = b"%d" % begun
        await free.wait()
        return answer

    async def run() -> tuple[list[bytes], bytes]:
        page = Throttled(make)
        together = [asyncio.create_task(page()) for _ in range(10)]
        while not begun:
            await asyncio.sleep(0)
        later = asyncio.create_task(page())
        await asyncio.sleep(0)
        free.set()
        return await asyncio.gather(*together), await later

    assert asyncio.run(run()) == ([b"1"] * 10, b"2")


def test_a_failure_reaches_all_who_wait_and_nobody_after_them() -> None:
    failures = [ValueError("no")]

    async def make() -> bytes:
        if failures:
            raise failures.pop()
        return b"yes"

    async def run() -> list[object]:
        page = Throttled(make)
        first = await asyncio.gather(page(), page(), return_exceptions=True)
        return [*map(str, first), await page()]

    assert asyncio.run(run()) == ["no", "no", b"yes"]


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async def make() -> bytes:
        await asyncio.sleep(0.01)
        return b"page"

    async def run() -> bytes:
        page = Throttled(make)
        impatient, patient = asyncio.create_task(page()), asyncio.create_task(page())
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(run()) == b"page"
