"""Send every CT file there is to a running service: each must be denoised, or refused by a rule of docs/ct.md.

    python -m load_tests.ct_files [--url http://127.0.0.1:3000] [--model NAME] [FOLDER, ARCHIVE or FILE ...]

Without files: slices of both patients and of the phantom that training fetches, and every DICOM file that comes with
pydicom, and with pydicom-data where it is installed; then series of the phantom, in the forms that hold several files.
A DICOM file is answered as arrays and in DICOM, and both must say the same; of what is answered, `dciodvfy` must find
nothing that it does not find in what was sent, where it is installed (dicom3tools). Prints what became of each and ends
with 1 where something is wrong.
"""

import argparse
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pydicom
import pydicom.data
from numpy.typing import NDArray

from load_tests import ct_validator
from service.codecs.archives import read_archive, write_archive
from service.codecs.arrays import write_npy
from service.codecs.dicom import read_image
from service.codecs.related import read_related, write_related
from service.limits import Limits
from service.messages import DICOM, NPY, RELATED, ZIP, Request
from training.data.ct import chest_ct, phantom_ct

PATH = "/v1/ct/denoise"
LIMITS = Limits(max_rows=1024, max_pixels=2**28)
REFUSALS = (400, 413, 415, 422)
EVERY = 8  # slices of a whole volume: its neighbours are like it
SERIES = "Low dose thorax", "Pelvis"  # of the phantom
ARCHIVES = ".zip", ".whl"


class File(NamedTuple):
    name: str
    body: bytes
    media_type: str = DICOM
    spacing_mm: str = ""  # where the file does not say it


def fetched() -> Iterator[File]:
    for volume in chest_ct():
        spacing = f"{volume.spacing[1]},{volume.spacing[2]}"
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
    elif path.suffix in ARCHIVES:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield File(f"{path.name}/{name}", archive.read(name))
    elif path.suffix == ".npy":
        yield File(path.name, path.read_bytes(), NPY)
    else:
        yield File(path.name, path.read_bytes())


def fate(client: httpx.Client, file: File) -> str:
    """What became of it. Raises ValueError where it was neither denoised nor refused, or where two answers differ."""
    arrays = asked(client, file, NPY)
    if arrays.status_code != 200:
        return f"{arrays.status_code} {arrays.json()['detail']}"
    after = np.load(io.BytesIO(arrays.content), allow_pickle=False)
    if file.media_type == DICOM:
        objects = asked(client, file, DICOM)
        if objects.status_code != 200:
            raise ValueError(f"arrays, and {objects.status_code} {objects.text} in DICOM")
        compare(file.body, objects.content, after)
    elif after.shape != np.load(io.BytesIO(file.body), allow_pickle=False).shape:
        raise ValueError(f"{after.shape}")
    warning = f", warning: {arrays.headers['warning']}" if "warning" in arrays.headers else ""
    return "denoised" + warning


def asked(client: httpx.Client, file: File, accept: str) -> httpx.Response:
    """Raises ValueError where it was neither denoised nor refused."""
    headers = {"content-type": file.media_type, "accept": accept}
    spacing = {"spacing_mm": file.spacing_mm} if file.spacing_mm else {}
    answer = client.post(PATH, params=spacing, content=file.body, headers=headers)
    if answer.status_code != 200 and answer.status_code not in REFUSALS:
        raise ValueError(f"{answer.status_code} {answer.text}")
    return answer


def compare(source: bytes, derived: bytes, after: NDArray[np.float32]) -> None:
    """Raises ValueError where a derived image has other values than the array, or the validator finds something new."""
    image = read_image(derived, LIMITS)
    frame, bits = image.frames[0], image.format.stored
    step, least = frame.slope, -(2 ** (bits - 1)) if image.format.signed else 0
    low, high = (frame.slope * stored + frame.intercept for stored in (least, least + 2**bits - 1))
    apart = float(np.abs(image.hu.reshape(after.shape) - after.clip(low, high)).max())
    if apart > 0.51 * step:
        raise ValueError(f"the array and DICOM are {apart:g} HU apart, a step is {step:g}")
    if ct_validator.installed() and (new := ct_validator.new_remarks(source, derived)):
        raise ValueError("; ".join(sorted(new)))


FORMS: dict[str, Callable[[list[bytes]], tuple[bytes, str]]] = {
    "multipart/related": lambda files: write_related(files, DICOM),
    "zip": lambda files: (write_archive(files, "dcm"), ZIP),
}


def series_fate(client: httpx.Client, files: list[bytes], form: str) -> str:
    """What became of a series. Raises ValueError where it is not one new series in the same order."""
    body, media_type = FORMS[form](files)
    answer = asked(client, File("", body, media_type), RELATED if form == "multipart/related" else ZIP)
    if answer.status_code != 200:
        raise ValueError(f"{answer.status_code} {answer.text}")
    kind = {b"content-type": answer.headers["content-type"].encode()}
    zipped = form == "zip"
    derived = (
        read_archive(answer.content, LIMITS, 2**28) if zipped else read_related(Request(answer.content, kind), DICOM)
    )
    sources, images = ([pydicom.dcmread(io.BytesIO(one)) for one in side] for side in (files, derived))
    origins = [image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images]
    if origins != [source.SOPInstanceUID for source in sources]:
        raise ValueError("the answers are not in the order of the slices")
    if len({image.SeriesInstanceUID for image in images}) != 1:
        raise ValueError("the answers are not one series")
    if len({image.SOPInstanceUID for image in images}) != len(files):
        raise ValueError("the answers are not an object for each slice")
    for before, after in zip(files, derived, strict=True):
        compare(before, after, read_image(after, LIMITS).hu)
    return f"{len(files)} slices denoised"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("--model", help="the one that is asked, if not the default")
    parser.add_argument("files", nargs="*", type=Path)
    told = parser.parse_args()
    counts, wrong = Counter[str](), 0
    query = {"model": told.model} if told.model else {}
    with httpx.Client(base_url=told.url, timeout=120, params=query) as client:
        for name, ask in asks(told.files):
            try:
                became = ask(client)
            except (ValueError, httpx.HTTPError) as error:
                wrong, became = wrong + 1, f"WRONG {error!r}"
            counts[became] += 1
            print(f"{name}: {became}", flush=True)
    print("\n".join(f"{count:4} {became}" for became, count in counts.most_common()))
    return 1 if wrong else 0


def asks(paths: list[Path]) -> Iterator[tuple[str, Callable[[httpx.Client], str]]]:
    """Of the files, or of all there are and the series, a name and what is asked."""
    for file in (file for path in paths for file in found(path)) if paths else fetched():
        yield file.name, partial(fate, file=file)
    for name in () if paths else SERIES:
        for form in FORMS:
            yield f"{name}, {form}", partial(series_fate, files=phantom_ct(name)[::EVERY], form=form)


if __name__ == "__main__":
    sys.exit(main())
