"""What makes it doubtful that a model helps slices which it takes nevertheless: docs/ct.md has the rules."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.codecs.dicom import Image
from service.tasks.spacing import Spacing

MADE_HERE = b"Quartet"
STORED_HU = -1024, 3071  # what 12 bits hold
CONTRIBUTIONS, MANUFACTURER = 0x0018A001, 0x00080070


def warnings_of(hu: NDArray[np.float32], images: list[Image], spacing: Spacing | None, caution: str = "") -> list[str]:
    """Sentences, the same whatever slices say of themselves otherwise. `spacing` is what the client said, and `caution`
    what the bundle says of itself.
    """
    found = [*([caution] if caution else []), *_of_images(images)]
    if spacing is None and not (images and all(frame.spacing_mm for image in images for frame in image.frames)):
        found.append("The size of the pixels is not known.")
    if hu.min() >= 0:
        found.append("No value is below 0, and air has -1000 HU: these may be no Hounsfield units.")
    elif np.count_nonzero((hu < STORED_HU[0]) | (hu > STORED_HU[1])) > hu.size / 2:
        found.append("Most values lie outside -1024 to 3071, which scanners store: these may be no Hounsfield units.")
    return found


def _of_images(images: list[Image]) -> Iterator[str]:
    if not all(frame.oriented for image in images for frame in image.frames):
        yield "ImageOrientationPatient is missing: the slice is taken for axial."
    if any(map(_denoised_before, images)):
        yield "The slice was denoised by this service before."
    elif any(image.derived for image in images):
        yield "ImageType says that the slice is derived: its noise may have been changed before."


def _denoised_before(image: Image) -> bool:
    contributions = image.file.elements.get(CONTRIBUTIONS)
    items = contributions.items if contributions is not None else None
    return any(MANUFACTURER in item and item[MANUFACTURER].value.strip(b" \0") == MADE_HERE for item in items or [])
