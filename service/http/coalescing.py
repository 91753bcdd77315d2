"""An answer in one write, where uvicorn makes two: a system call and a packet for the head, and again for the body."""

from typing import Any

JOINED = 2**18  # bytes: to copy more costs more than a system call


class CoalescedWrites:
    """`with CoalescedWrites(receive):` holds back what uvicorn writes until the block ends.

    Under another server it does nothing.

    Inside the block it stands in for the transport of uvicorn's request cycle, whose bound method `receive` is: `send`
    is not, where middleware has put its own in its place.
    """

    __slots__ = ("_cycle", "_held", "_transport")

    def __init__(self, receive: Any) -> None:
        self._cycle: Any = getattr(receive, "__self__", None)
        self._transport: Any = getattr(self._cycle, "transport", None)
        self._held: list[bytes] = []

    def __enter__(self) -> None:
        if self._transport is not None:
            self._cycle.transport = self

    def __exit__(self, *_: object) -> None:
        if self._transport is not None:
            self._cycle.transport = self._transport
            self._flush()

    def write(self, data: bytes) -> None:
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        getattr(self._transport.get_protocol(), "end", self._transport.close)()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if sum(map(len, self._held)) > JOINED:
            for data in self._held:
                self._transport.write(data)
        elif self._held:
            self._transport.write(b"".join(self._held))
        self._held.clear()
