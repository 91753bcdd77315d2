"""Models by their name, their releases, and what turned out.

`models.py` is made of this file by `python make_sync.py`; change it here.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

from quartet_client import bodies, tensors
from quartet_client.answers import Received
from quartet_client.async_base import AsyncEndpoint
from quartet_client.bodies import Picture, Table
from quartet_client.call import Call, Options, Order, Rollout, call, content, json_of

if TYPE_CHECKING:
    from quartet_client.async_client import AsyncClient


class AsyncModelEndpoint(AsyncEndpoint):
    def __init__(self, client: "AsyncClient", name: str) -> None:
        super().__init__(client)
        self.name = name

    async def describe(self) -> Mapping[str, Any]:
        """Its signature, figures, provenance and card, as JSON has them."""
        return await self._client.send(Call(self._path(), json_of, method="GET"))

    async def drift(self) -> Mapping[str, Any]:
        """How far from its training data it is asked, as JSON has it."""
        return await self._client.send(Call(self._path("drift"), json_of, method="GET"))

    async def picture(self, name: str) -> bytes:
        """A picture of its card as PNG, by the name that the card has it."""
        return await self._client.send(Call(self._path("card", name), content, method="GET"))

    async def predict(
        self, inputs: Mapping[str, Any], *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> dict[str, Any]:
        """Tensors in, tensors out, the batch first. Arrays travel as raw bytes and are answered as arrays."""
        asked = tensors.predict(self.name, inputs, options, {"spacing_mm": spacing_mm})
        outputs: dict[str, Any] = await self._client.send(asked)
        return outputs

    async def follow(
        self,
        windows: Iterable[Mapping[str, Any]],
        **options: Unpack[Options],
    ) -> AsyncIterator[dict[str, Any]]:
        """The outputs for each window of a sequence, in their order, by a model that carries a `state`.

        The `next_state` of each answer goes with the next window. The first one begins at zeros, unless it has a
        `state`: that of an earlier answer goes on where that ended.
        """
        state: Any = None
        for window in windows:
            if state is None:
                state = window.get("state")
            if state is None:
                state = tensors.zeros(await self.describe(), "state", window)
            outputs = await self.predict({**window, "state": state}, **options)
            state = outputs["next_state"]
            yield outputs

    async def activations(
        self, images: "Picture | Sequence[Picture]", *, many: bool = False, **options: Unpack[Options]
    ) -> Mapping[str, Any]:
        """What each layer of an image classifier makes of pictures. `many` looks for several digits in each."""
        body, asked = bodies.pictures(images), {"many": many or None}
        return await self._client.send(call(self._path("activations"), json_of, options, parameters=asked, **body))

    def _path(self, *further: str) -> str:
        return _path("models", self.name, *further)


class AsyncFeedbackEndpoint(AsyncEndpoint):
    async def tell(self, outcomes: Table) -> Received:
        """Tell what turned out: a mapping with `id`, `outcome` and maybe `row`, several, a frame or a CSV file.

        `id` is the `request_id` that the call was given.
        """
        body = bodies.rows(outcomes, "outcomes")
        return await self._client.send(call(_path("feedback"), Received.read, {}, **body))

    async def forget(self, key: str) -> None:
        """Remove all that is kept of a key. The client's key is to be the admin token."""
        await self._client.send(Call(_path("feedback", key), json_of, method="DELETE"))


class AsyncReleasesEndpoint(AsyncEndpoint):
    """Which versions are served. For all that changes it the client's key is to be the admin token.

    Every command gives what was done, in a line. None is sent again after the connection was lost.
    """

    async def list(self) -> Any:
        """What is served of each model and what is tried, as JSON has it."""
        return await self._client.send(Call(_path("releases"), lambda got: got.json()["releases"], method="GET"))

    async def show(self, name: str) -> Mapping[str, Any]:
        """The versions of a model with figures and verdicts, what is tried, and the history."""
        return await self._client.send(Call(_path("releases", name), json_of, method="GET"))

    async def start(self, name: str, version: str, **order: Unpack[Rollout]) -> str:
        """Try a version on live traffic."""
        return await self._order(name, "start", {"version": version, **order})

    async def promote(self, name: str, version: str, **order: Unpack[Order]) -> str:
        """Serve a version."""
        return await self._order(name, "promote", {"version": version, **order})

    async def rollback(self, name: str, **order: Unpack[Order]) -> str:
        """End what is tried, else serve what was served before."""
        return await self._order(name, "rollback", order)

    async def prune(self, name: str) -> str:
        """Remove old versions."""
        return await self._order(name, "prune", {})

    async def _order(self, name: str, verb: str, order: Mapping[str, Any]) -> str:
        path = _path("releases", name, verb)
        asked = Call(path, lambda got: str(got.json()["done"]), json=dict(order), idempotent=False)
        return await self._client.send(asked)


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
