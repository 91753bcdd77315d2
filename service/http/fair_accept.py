"""Connections that come together, shared among the processes of a server.

All processes accept from one socket, and the first one awake would take every connection that waits before another has
woken up. So one that holds more of them than it did lately steps aside for a moment after each new one.
"""

import asyncio
import time
from typing import ClassVar

from service.http.connection import Connection

ASIDE_S = 1e-6  # the kernel makes some 60 microseconds of it, time enough to wake up


class FairAccept(Connection):
    """`most` is how many connections were held at once since there last were half as many."""

    most: ClassVar[int] = 1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        held = len(self.connections)
        if held <= FairAccept.most / 2:
            FairAccept.most = held
        elif held > FairAccept.most:
            FairAccept.most = held
            time.sleep(ASIDE_S)
