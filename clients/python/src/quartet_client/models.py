"""Models by their name, their releases, and what turned out.

`models.py` is made of this file by `python make_sync.py`; change it here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

from quartet_client import bodies, tensors
from quartet_client.answers import Received
from quartet_client.base import Endpoint
from quartet_client.bodies import Picture, Table
from quartet_client.call import Call, Options, Order, Rollout, call, content, json_of

if TYPE_CHECKING:
    from quartet_client.client import Client


class ModelEndpoint(Endpoint):
    def __init__(self, client: "Client", name: str) -> None:
        super().__init__(client)
        self.name = name

    def describe(self) -> Mapping[str, Any]:
        """Its signature, figures, provenance and card, as JSON has them."""
        return self._client.send(Call(self._path(), json_of, method="GET"))

    def drift(self) -> Mapping[str, Any]:
        """How far from its training data it is asked, as JSON has it."""
        return self._client.send(Call(self._path("drift"), json_of, method="GET"))

    def picture(self, name: str) -> bytes:
        """A picture of its card as PNG, by the name that the card has it."""
        return self._client.send(Call(self._path("card", name), content, method="GET"))

    def predict(
        self, inputs: Mapping[str, Any], *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> dict[str, Any]:
        """Tensors in, tensors out, the batch first. Arrays travel as raw bytes and are answered as arrays."""
        asked = tensors.predict(self.name, inputs, options, {"spacing_mm": spacing_mm})
        outputs: dict[str, Any] = self._client.send(asked)
        return outputs

    def follow(
        self,
        windows: Iterable[Mapping[str, Any]],
        **options: Unpack[Options],
    ) -> Iterator[dict[str, Any]]:
        """The outputs for each window of a sequence, in their order, by a model that carries a `state`.

        The `next_state` of each answer goes with the next window. The first one begins at zeros, unless it has a
        `state`: that of an earlier answer goes on where that ended.
        """
        state: Any = None
        for window in windows:
            if state is None:
                state = window.get("state")
            if state is None:
                state = tensors.zeros(self.describe(), "state", window)
            outputs = self.predict({**window, "state": state}, **options)
            state = outputs["next_state"]
            yield outputs

    def activations(
        self, images: "Picture | Sequence[Picture]", *, many: bool = False, **options: Unpack[Options]
    ) -> Mapping[str, Any]:
        """What each layer of an image classifier makes of pictures. `many` looks for several digits in each."""
        body, asked = bodies.pictures(images), {"many": many or None}
        return self._client.send(call(self._path("activations"), json_of, options, parameters=asked, **body))

    def _path(self, *further: str) -> str:
        return _path("models", self.name, *further)


class FeedbackEndpoint(Endpoint):
    def tell(self, outcomes: Table) -> Received:
        """Tell what turned out: a mapping with `id`, `outcome` and maybe `row`, several, a frame or a CSV file.

        `id` is the `request_id` that the call was given.
        """
        body = bodies.rows(outcomes, "outcomes")
        return self._client.send(call(_path("feedback"), Received.read, {}, **body))

    def forget(self, key: str) -> None:
        """Remove all that is kept of a key. The client's key is to be the admin token."""
        self._client.send(Call(_path("feedback", key), json_of, method="DELETE"))


class ReleasesEndpoint(Endpoint):
    """Which versions are served. For all that changes it the client's key is to be the admin token.

    Every command gives what was done, in a line. None is sent again after the connection was lost.
    """

    def list(self) -> Any:
        """What is served of each model and what is tried, as JSON has it."""
        return self._client.send(Call(_path("releases"), lambda got: got.json()["releases"], method="GET"))

    def show(self, name: str) -> Mapping[str, Any]:
        """The versions of a model with figures and verdicts, what is tried, and the history."""
        return self._client.send(Call(_path("releases", name), json_of, method="GET"))

    def start(self, name: str, version: str, **order: Unpack[Rollout]) -> str:
        """Try a version on live traffic."""
        return self._order(name, "start", {"version": version, **order})

    def promote(self, name: str, version: str, **order: Unpack[Order]) -> str:
        """Serve a version."""
        return self._order(name, "promote", {"version": version, **order})

    def rollback(self, name: str, **order: Unpack[Order]) -> str:
        """End what is tried, else serve what was served before."""
        return self._order(name, "rollback", order)

    def prune(self, name: str) -> str:
        """Remove old versions."""
        return self._order(name, "prune", {})

    def _order(self, name: str, verb: str, order: Mapping[str, Any]) -> str:
        path = _path("releases", name, verb)
        asked = Call(path, lambda got: str(got.json()["done"]), json=dict(order), idempotent=False)
        return self._client.send(asked)


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
