"""Make the README's pictures from the answers of a running service: `python docs/make_pictures.py [URL]`."""

import io
import sys
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from pydicom import dcmread

DOCS = Path(__file__).parent
CHEST_HU = (-1000, 400)


def main(url: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        enlarge(Image.open(DOCS / "examples" / "seven.png"), 4).save(DOCS / "pictures" / "digit.png")
        wish = {"label": 7, "count": 16, "seed": 1}
        sheet = client.post("/v1/samples/generate", json=wish, headers={"accept": "image/png"})
        enlarge(Image.open(io.BytesIO(sheet.raise_for_status().content)), 2).save(DOCS / "pictures" / "samples.png")
        slice_dcm = (DOCS / "examples" / "slice.dcm").read_bytes()
        headers = {"content-type": "application/dicom", "accept": "image/png"}
        after = client.post("/v1/ct/denoise", content=slice_dcm, headers=headers).raise_for_status().content
        pair = np.hstack(
            [preview(slice_dcm), np.full((128, 4), 255, np.uint8), np.asarray(Image.open(io.BytesIO(after)))]
        )
        enlarge(Image.fromarray(pair), 2).save(DOCS / "pictures" / "ct.png")


def preview(dicom: bytes) -> np.ndarray:
    """The slice as it came, in the grey levels of the service's previews."""
    dataset = dcmread(io.BytesIO(dicom))
    hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    low, high = CHEST_HU
    return np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def enlarge(picture: Image.Image, factor: int) -> Image.Image:
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000")
