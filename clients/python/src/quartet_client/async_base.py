"""What all endpoints have in common. `base.py` is made of this file by `python make_sync.py`; change it here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quartet_client.async_client import AsyncClient


class AsyncEndpoint:
    def __init__(self, client: "AsyncClient") -> None:
        self._client = client
