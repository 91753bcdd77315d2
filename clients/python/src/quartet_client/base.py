"""What all endpoints have in common. Made of async_base.py by `python make_sync.py`; change it there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quartet_client.client import Client


class Endpoint:
    def __init__(self, client: "Client") -> None:
        self._client = client
