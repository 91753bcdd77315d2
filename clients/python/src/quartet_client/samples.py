"""The endpoint of what is drawn. Made of async_samples.py by `python make_sync.py`; change it there."""

from collections.abc import Sequence
from typing import Any, Unpack

from quartet_client import bodies
from quartet_client.base import Endpoint
from quartet_client.bodies import Picture
from quartet_client.call import PNG, Options, Wish, call, content
from quartet_client.drawn import Latents, Reconstructions, Samples, Translations


class SamplesEndpoint(Endpoint):
    def generate(self, count: int | None = None, **wish: Unpack[Wish]) -> Samples:
        """Draw pictures: one, or as many as there are labels or codes, where no `count` says how many."""
        return self._client.send(call("/v1/samples/generate", Samples.read, **_asked(count, wish)))

    def sheet(self, count: int | None = None, **wish: Unpack[Wish]) -> bytes:
        """All samples in one PNG picture."""
        return self._client.send(call("/v1/samples/generate", content, accept=PNG, **_asked(count, wish)))

    def encode(
        self, images: "Picture | Sequence[Picture]", *, label: str | int | None = None, **options: Unpack[Options]
    ) -> Latents:
        """The latent codes of pictures, as `generate` takes them. `label`: what they show, for a model that asks."""
        body, asked = bodies.pictures(images), {"label": label}
        return self._client.send(call("/v1/samples/encode", Latents.read, options, parameters=asked, **body))

    def reconstruct(
        self, images: "Picture | Sequence[Picture]", *, label: str | int | None = None, **options: Unpack[Options]
    ) -> Reconstructions:
        """What a model draws of the latent codes of pictures. `label` as for `encode`."""
        body, asked = bodies.pictures(images), {"label": label}
        read = Reconstructions.read
        return self._client.send(call("/v1/samples/reconstruct", read, options, parameters=asked, **body))

    def translate(
        self, images: "Picture | Sequence[Picture]", *, to: str | None = None, **options: Unpack[Options]
    ) -> Translations:
        """Pictures of one collection made to look like those of another: `to`, by default the model's second."""
        body, asked = bodies.pictures(images), {"to": to}
        read = Translations.read
        return self._client.send(call("/v1/samples/translate", read, options, parameters=asked, **body))


def _asked(count: int | None, wish: Wish) -> dict[str, Any]:
    """The wish as the body has it, and the options of a call."""
    given: dict[str, Any] = {"count": count, **wish}
    options = {name: given.pop(name) for name in Options.__annotations__ if name in given}
    return {"options": options, "json": {name: value for name, value in given.items() if value is not None}}
