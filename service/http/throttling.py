"""Expensive pages that need no key: made once for all who wait, and for at most a fifth of the time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

PAUSES = 4  # of the time that making it took


class Throttled:
    """`await page()` is a page that was begun after the call."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._coming: asyncio.Task[bytes] | None = None
        self._making = asyncio.Lock()
        self._rested_at = 0.0

    async def __call__(self) -> bytes:
        if self._coming is None:
            self._coming = asyncio.create_task(self._made())
        return await asyncio.shield(self._coming)

    async def _made(self) -> bytes:
        try:
            async with self._making:
                await asyncio.sleep(self._rested_at - monotonic())
                self._coming, began = None, monotonic()
                try:
                    return await self._make()
                finally:
                    ended = monotonic()
                    self._rested_at = ended + PAUSES * (ended - began)
        except asyncio.CancelledError:  # with the event loop, which another one may follow
            self._coming = None
            raise
