"""What other people's programs say of derived images: validators, toolkits and archives, each where it is installed.

`apt-get install dicom3tools dcmtk orthanc` and `pip install dicomweb-client` bring them.
"""

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from load_tests.ct_validator import VALIDATOR, new_remarks
from service.messages import DICOM, RELATED
from tests.conftest import Here, free_port
from tests.service import enhanced
from tests.service.slices import SLICE, opened, saved

PATH = "/v1/ct/denoise?model=toy-ct"
IN_A_DIRECTORY = "that would be needed to build DICOMDIR"  # what the profile empties, and may be empty
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def tool(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def encoded(syntax: str) -> bytes:
    """With curve data, private elements and text that is no number, which a data set without representations hides."""
    dataset, buffer = opened(SLICE), io.BytesIO()
    dataset.add_new(0x50000010, "US", 300)
    dataset.add_new(0x50003000, "OW", b"\1\0\2\0")
    dataset.add_new(0x01F10010, "LO", "ELSCINT1")
    dataset.add_new(0x01F11026, "OB", b"0.65")
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = dataset.pixel_array.astype(">i2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        buffer, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian
    )
    return buffer.getvalue()


def compressed() -> bytes:
    dataset = opened(SLICE)
    dataset.compress(RLELossless)
    return saved(dataset)


SOURCES = {
    "explicit": SLICE,
    "implicit": encoded(ImplicitVRLittleEndian),
    "big endian": encoded(ExplicitVRBigEndian),
    "deflated": encoded(DeflatedExplicitVRLittleEndian),
    "run lengths": compressed(),
    "enhanced": enhanced.saved(enhanced.dataset()),
}


def denoised(lane: Here, file: bytes, query: str = "") -> bytes:
    response = lane("POST", PATH + query, content=file, headers={"content-type": DICOM})
    assert response.status_code == 200, response.text
    return response.content


@tool(VALIDATOR)
@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"deflated"}))  # which it cannot read
@pytest.mark.parametrize("query", ["", "&deidentify=true"])
def test_the_validator_says_nothing_that_it_did_not_say_of_the_source(lane: Here, name: str, query: str) -> None:
    new = new_remarks(SOURCES[name], denoised(lane, SOURCES[name], query))
    assert {one for one in new if not (query and IN_A_DIRECTORY in one)} == set()


@tool("dcmdump")
@pytest.mark.parametrize("name", SOURCES)
def test_dcmtk_reads_it(lane: Here, tmp_path: Path, name: str) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(denoised(lane, SOURCES[name]))
    ran = subprocess.run(["dcmdump", "+L", path], capture_output=True, text=True, check=True)
    assert "DERIVED\\PRIMARY" in ran.stdout
    assert not [line for line in ran.stderr.splitlines() if line.startswith(("E:", "F:"))]


@tool("storescp", "storescu")
def test_dcmtk_receives_a_series(lane: Here, tmp_path: Path) -> None:
    port, received = free_port(), tmp_path / "received"
    received.mkdir()
    files = [tmp_path / f"{i}.dcm" for i in range(len(SOURCES))]
    for path, source in zip(files, SOURCES.values(), strict=True):
        path.write_bytes(denoised(lane, source))
    with running(["storescp", "-od", str(received), str(port)]):
        for _ in range(100):
            if subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        subprocess.run(["storescu", "-xe", "127.0.0.1", str(port), *files], capture_output=True, check=True)
    sent = {str(opened(path.read_bytes()).SOPInstanceUID) for path in files}
    assert {str(opened(path.read_bytes()).SOPInstanceUID) for path in received.iterdir()} == sent


@tool("Orthanc")
def test_an_archive_takes_a_series_as_one(lane: Here, tmp_path: Path) -> None:
    port = free_port()
    config: dict[str, Any] = {"HttpPort": port, "DicomServerEnabled": False, "AuthenticationEnabled": False}
    config |= {"StorageDirectory": str(tmp_path / "store"), "IndexDirectory": str(tmp_path / "store"), "Plugins": []}
    (tmp_path / "orthanc.json").write_text(json.dumps(config))
    with (
        running(["Orthanc", str(tmp_path / "orthanc.json")]),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as archive,
    ):
        wait_for(archive)
        for source in (SLICE, SOURCES["implicit"], SOURCES["run lengths"]):
            for file in (source, denoised(lane, source)):
                assert archive.post("/instances", content=file).raise_for_status().json()["Status"]
        (study,) = archive.get("/studies?expand").json()
        series = [archive.get(f"/series/{one}").json() for one in study["Series"]]
        described = {one["MainDicomTags"].get("SeriesDescription", ""): len(one["Instances"]) for one in series}
        assert described["denoised"] == 3
        assert len(series) == 2


def wait_for(archive: httpx.Client) -> None:
    for _ in range(200):
        try:
            if archive.get("/system").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the archive does not answer")


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_a_dicomweb_client_posts_and_reads_a_series(lane: Here) -> None:
    web, requests = pytest.importorskip("dicomweb_client.web"), pytest.importorskip("requests")
    client, media = web.DICOMwebClient("http://here"), f'{RELATED}; type="{DICOM}"; boundary=0f3cf5c0'
    body = client._encode_multipart_message([SLICE, SOURCES["big endian"]], media)
    asked = lane("POST", PATH, content=body, headers={"content-type": media, "accept": f'{RELATED}; type="{DICOM}"'})
    assert asked.status_code == 200, asked.text
    answer = requests.Response()
    answer.status_code, answer.raw = 200, io.BytesIO(asked.content)
    answer.headers.update(asked.headers)
    files = list(client._decode_multipart_message(answer, stream=False))
    assert [opened(file).ImageType[0] for file in files] == ["DERIVED", "DERIVED"]
