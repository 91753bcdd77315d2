"""One write per answer, under whatever uvicorn does with a transport."""

from service.http.coalescing import JOINED, CoalescedWrites


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_protocol(self) -> None:
        """Of another server."""


class Cycle:
    """As uvicorn's: `send` writes the head and the body each by itself."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def receive(self) -> None: ...

    def send(self, *parts: bytes, close: bool = False) -> None:
        for part in parts:
            self.transport.write(part)
        if close and not self.transport.is_closing():
            self.transport.close()


def test_head_and_body_leave_in_one_write() -> None:
    transport = Transport()
    cycle = Cycle(transport)
    with CoalescedWrites(cycle.receive):
        cycle.send(b"head ")
        cycle.send(b"body")
        assert transport.written == []
    assert transport.written == [b"head body"]
    assert cycle.transport is transport


def test_a_large_body_is_not_copied_behind_its_head() -> None:
    transport, body = Transport(), bytes(JOINED)
    cycle = Cycle(transport)
    with CoalescedWrites(cycle.receive):
        cycle.send(b"head ", body)
    assert transport.written == [b"head ", body]
    assert transport.written[1] is body


def test_what_is_held_leaves_before_the_connection_is_closed() -> None:
    transport = Transport()
    cycle = Cycle(transport)
    with CoalescedWrites(cycle.receive):
        cycle.send(b"head ", b"body", close=True)
    assert (transport.written, transport.closed) == ([b"head body"], True)


def test_a_head_without_a_body_leaves_too() -> None:
    transport = Transport()
    with CoalescedWrites((cycle := Cycle(transport)).receive):
        cycle.send(b"head")
    assert transport.written == [b"head"]


def test_a_server_of_another_make_is_left_alone() -> None:
    sent: list[bytes] = []
    with CoalescedWrites(sent.append):
        sent.append(b"head")
    assert sent == [b"head"]
