"""Send every CT file there is to a running service: each must be denoised, or refused by a rule of docs/ct.md.

    python -m load_tests.ct_files [--url http://127.0.0.1:3000] [FOLDER or FILE ...]

Without files: slices of both patients and of the phantom that training fetches, and every DICOM file that comes with
pydicom, and with pydicom-data where it is installed. Prints what became of them and ends with 1 where one is neither.
"""

import argparse
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pydicom.data

from service.codecs.arrays import write_npy
from service.codecs.dicom import read_image
from service.limits import Limits
from service.messages import DICOM, NPY
from training.data.ct import chest_ct, phantom_ct

PATH = "/v1/ct/denoise"
LIMITS = Limits(max_rows=1024, max_pixels=2**28)
REFUSALS = (400, 413, 415, 422)
EVERY = 8  # slices of a whole volume: its neighbours are like it


class File(NamedTuple):
    name: str
    body: bytes
    media_type: str = DICOM
    query: str = ""


def fetched() -> Iterator[File]:
    for volume in chest_ct():
        spacing = f"?spacing_mm={volume.spacing[1]},{volume.spacing[2]}"
        for number in range(0, len(volume.hu), EVERY):
            yield File(f"{volume.patient}/{number}", write_npy(volume.hu[number]), NPY, spacing)
    for number, body in enumerate(phantom_ct()[::EVERY]):
        yield File(f"phantom/{EVERY * number}", body)
    for path in pydicom.data.get_testdata_files("*.dcm"):
        yield from found(Path(path))


def found(path: Path) -> Iterator[File]:
    """The files of a folder or of a zip archive, or one alone."""
    if path.is_dir():
        for one in sorted(path.iterdir()):
            yield from found(one)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield File(f"{path.name}/{name}", archive.read(name))
    elif path.suffix == ".npy":
        yield File(path.name, path.read_bytes(), NPY)
    else:
        yield File(path.name, path.read_bytes())


def fate(client: httpx.Client, file: File) -> str:
    """What became of it. Raises ValueError where it was neither denoised nor refused."""
    headers = {"content-type": file.media_type, "accept": file.media_type}
    answer = client.post(PATH + file.query, content=file.body, headers=headers)
    if answer.status_code in REFUSALS:
        return f"{answer.status_code} {answer.json()['detail']}"
    if answer.status_code != 200:
        raise ValueError(f"{answer.status_code} {answer.text}")
    if file.media_type == DICOM:
        before, after = (read_image(body, LIMITS).hu for body in (file.body, answer.content))
    else:
        before, after = (np.load(io.BytesIO(body), allow_pickle=False) for body in (file.body, answer.content))
    if before.shape != after.shape:
        raise ValueError(f"{after.shape} for {before.shape}")
    warning = f", warning: {answer.headers['warning']}" if "warning" in answer.headers else ""
    return "denoised" + warning


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("files", nargs="*", type=Path)
    asked = parser.parse_args()
    files = (file for path in asked.files for file in found(path)) if asked.files else fetched()
    counts, wrong = Counter[str](), 0
    with httpx.Client(base_url=asked.url, timeout=120) as client:
        for file in files:
            try:
                became = fate(client, file)
            except ValueError as error:
                wrong, became = wrong + 1, f"WRONG {error}"
            counts[became] += 1
            print(f"{file.name}: {became}", flush=True)
    print("\n".join(f"{count:4} {became}" for became, count in counts.most_common()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
