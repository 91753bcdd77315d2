"""What networks that draw pictures of codes have in common, and the graph that finds the codes of pictures."""

from torch import Tensor, nn, sigmoid

from service.bundle import Arrays
from training.kinds import generation
from training.kinds.generation import DIGITS, Domain
from training.recipe import SideGraph

# B batch, C pixels or code, H height, W width


class Drawn(nn.Module):
    """Latent codes, and labels where the decoder takes them, to grey levels [B, 28, 28].

    With a `truncation` codes are drawn in to where those of training are dense (Brock, Donahue and Simonyan, Large
    scale GAN training for high fidelity natural image synthesis, ICLR 2019).
    """

    def __init__(self, decoder: nn.Module, truncation: float = 1.0) -> None:
        super().__init__()
        self.decoder, self.truncation = decoder, truncation

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return 255 * sigmoid(self.decoder(self.truncation * latent, label)).reshape(-1, 28, 28)


class Autoencoder(Drawn):
    """What draws, and an encoder of images in [0, 1] [B, C] whose first outputs are their latent codes."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int, truncation: float = 1.0) -> None:
        super().__init__(decoder, truncation)
        self.encoder, self.latent = encoder, latent

    def code(self, pixels_BC: Tensor, label_B: Tensor | None) -> Tensor:
        """The latent codes that draw such images."""
        found: Tensor = self.encoder(pixels_BC, label_B)
        return found[:, : self.latent] / self.truncation


class Encoding(nn.Module):
    """An autoencoder the other way: grey levels to their latent code."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        assert isinstance(autoencoder, Autoencoder)
        self.autoencoder = autoencoder

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.autoencoder.code(image.flatten(1) / 255, label)


def encode(latent: int, *, asks: bool, domain: Domain = DIGITS) -> SideGraph:
    """The graph beside the decoder that encodes pictures, with their labels where the decoder is asked for them."""

    def examples() -> Arrays:
        shown = domain.data().test
        return {"image": shown.pixels[:4].astype("float32")} | ({"label": shown.labels[:4]} if asks else {})

    picture = generation.image(domain)
    code = generation.latent(latent).model_copy(update={"description": "of the picture"})
    return SideGraph(
        of=Encoding,
        inputs=(picture, generation.label(domain, "that it shows")) if asks else (picture,),
        outputs=(code,),
        examples=examples,
    )
