"""In which precision a model runs: a shorter one only where its own evaluation has measured what that does to it."""

from service.bundle import MAIN, SINGLE, Manifest
from service.engine.session import CUDA, SHORT, TF32, provider_of
from service.settings import Settings


def precision_of(manifest: Manifest, settings: Settings, graph: str = MAIN) -> str:
    """What the settings ask for, where the bundle allows it for this graph and the provider can do it."""
    wanted = settings.precision
    if graph != MAIN or wanted not in manifest.precisions:
        return SINGLE
    if wanted == TF32 and provider_of(settings.provider) != SHORT[CUDA]:
        return SINGLE
    return wanted


def why_not(manifest: Manifest, settings: Settings, precision: str) -> str:
    """Why a model runs in another precision than the settings ask for; "" where it does not."""
    if precision == settings.precision:
        return ""
    if settings.precision in manifest.precisions:
        return f"{settings.precision} is for a GPU"
    return f"its bundle has not measured {settings.precision}"
