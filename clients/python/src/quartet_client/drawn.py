"""Pictures that are answered, and the codes that they are drawn of."""

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from quartet_client.answers import Answer, Model

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pictures(Answer):
    """Pictures, which travel as PNG in base64 in the field `held`."""

    parts = {"model": Model}
    held: ClassVar[str]

    model: Model

    def pictures(self) -> list[bytes]:
        """The PNG files."""
        return [base64.b64decode(text) for text in self.raw[self.held]]

    def images(self) -> "list[PIL.Image.Image]":
        """The pictures, as Pillow has them."""
        import PIL.Image

        return [PIL.Image.open(io.BytesIO(picture)) for picture in self.pictures()]

    def array(self) -> "NDArray[np.uint8]":
        """uint8 [N, H, W] or [N, H, W, C]."""
        import numpy

        return numpy.stack([numpy.asarray(image) for image in self.images()])


@dataclass(frozen=True)
class Samples(Pictures):
    """`samples` are PNG pictures in base64."""

    held = "samples"

    seed: int
    samples: list[str]
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reconstructions(Pictures):
    held = "reconstructions"


@dataclass(frozen=True)
class Translations(Pictures):
    """`domain` is what the pictures were made to look like."""

    held = "translations"

    domain: str


@dataclass(frozen=True)
class TransformedImages(Pictures):
    held = "images"


@dataclass(frozen=True)
class Latents(Answer):
    """A latent code for each picture."""

    parts = {"model": Model}

    model: Model
    latents: list[list[float]]
