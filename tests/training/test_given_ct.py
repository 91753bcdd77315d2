"""CT slices from outside: which are taken, on which side, and what is said of those that are not."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.service.slices import SLICE, opened
from training import recipe
from training.data import DataError, given
from training.given.sides import SIDES, fingerprint, side_of
from training.images import ct_pairs
from training.run import Run

SLICES = 6  # of each patient
Change = Callable[[Dataset], object]


@pytest.fixture(autouse=True)
def own_again() -> Iterator[None]:
    yield
    given.forget()


def write(file: Path, patient: str, number: int, *changes: Change) -> None:
    """A slice that comes with pydicom, three times as large each way."""
    dataset = opened(SLICE)
    pixels = np.kron(np.roll(dataset.pixel_array, 3 * number, axis=1), np.ones((3, 3), np.int16))
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SOPInstanceUID = patient, generate_uid(), generate_uid()
    dataset.ImagePositionPatient = [0, 0, number]
    dataset.PixelSpacing = [0.7, 0.7]
    for change in changes:
        change(dataset)
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file)


@pytest.fixture
def chests(tmp_path: Path) -> Path:
    """A patient for each side, by the hash of a number."""
    numbers = {side_of(fingerprint(fingerprint(str(n).encode()).encode())): str(n) for n in range(60)}
    for place, side in enumerate(SIDES):
        for number in range(SLICES):
            write(tmp_path / "chests" / f"p{place}" / f"{number}.dcm", numbers[side], number + 10 * place)
    return tmp_path / "chests"


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as error:
        recipe.load("ct-denoiser", path)
    return str(error.value)


def setting(name: str, value: Any) -> Change:
    return lambda dataset: setattr(dataset, name, value)


def test_slices_train_validate_and_measure_by_their_patients(chests: Path) -> None:
    found = recipe.load("ct-denoiser", chests)
    assert found.data
    first, second = found.data.value
    assert (len(first.hu), len(second.hu)) == (2 * SLICES, SLICES)
    assert first.spacing[1:] == (0.7, 0.7)
    assert found.hyper.training(len(first.hu)) == [*range(SLICES, 2 * SLICES)]
    own = opened((chests / "p0" / "2.dcm").read_bytes())
    hu = own.pixel_array * own.RescaleSlope + own.RescaleIntercept
    assert (first.hu[SLICES + 2] == hu).all(), "train is the first side, and its slices lie in their order"
    assert "| train | 6 |" in found.data.report


def test_a_scanner_is_simulated_over_slices_from_outside(chests: Path) -> None:
    found = recipe.load("ct-denoiser", chests)
    assert found.data
    pairs = ct_pairs.make(found.data.value[0], found.hyper.training(2 * SLICES), 1, seed=1)
    assert pairs.noise.float().std() > 1


def test_noisy_slices_are_learned_from_by_the_noise_that_they_have(
    chests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path / "runs"))
    (chests / "schema.json").write_text('{"noisy": true}')
    found = recipe.load("ct-denoiser", chests)
    assert found.data
    assert all(volume.noisy for volume in found.data.value)
    assert (found.hyper.edges, found.hyper.lesions) == (0, 0), "what is lost of them is told by the truth alone"
    trial = replace(found.hyper, **found.trial | found.data.hyper | {"early_epochs": 0, "epochs": 1, "sets": 1})
    module = found.train(Run("own", trial, max_steps=1)).eval()

    def predict(inputs: Any) -> Any:
        with torch.no_grad():
            return {"denoised": module(torch.from_numpy(inputs["slice"])).numpy()}

    (gain,) = found.parts["patient"](predict, trial)
    assert gain.name == "PSNR gain, own noise"
    assert not found.parts["spacings"](predict, trial), "there is no truth"


def test_finer_pixels_are_laid_on_the_grid_of_the_coarsest(chests: Path) -> None:
    for file in (chests / "p2").iterdir():
        write(file, opened(file.read_bytes()).PatientID, 20, setting("PixelSpacing", [0.35, 0.35]))
    found = recipe.load("ct-denoiser", chests)
    assert found.data
    held = found.data.value[1]
    assert held.spacing[1] == 0.7
    assert held.hu.shape == (SLICES, 384, 384)
    assert (held.hu[:, :96] == -1024).all()
    assert (held.hu[:, 96:288, 96:288] > -1024).any()
    assert "0.35 to 0.7 mm" in found.data.report


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (setting("Modality", "MR"), "not a CT image"),
        (setting("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]), "not axial"),
        (lambda dataset: dataset.pop("ImageOrientationPatient"), "lacks ImageOrientationPatient"),
        (lambda dataset: dataset.pop("RescaleSlope"), "RescaleSlope"),
        (lambda dataset: dataset.pop("PixelSpacing"), "lacks PixelSpacing"),
        (setting("PixelSpacing", [0.7, 0.8]), "not square"),
        (setting("PixelSpacing", [0.2, 0.2]), "mm wide"),
        (setting("Rows", 200), "pixels or more"),
    ],
)
def test_a_slice_that_cannot_be_used_is_named_and_not_quoted(chests: Path, change: Change, says: str) -> None:
    write(chests / "p1" / "bad.dcm", "Doe^Jane", 1, change)
    (chests / "p1" / "notes.txt").write_text("Doe^Jane")
    said = complaint(chests)
    assert "p1/bad.dcm: " in said
    assert says in said
    assert "p1/notes.txt: cannot be used." in said
    assert "Doe" not in said


def test_a_patient_on_two_sides_is_refused(chests: Path) -> None:
    for place, side in enumerate(SIDES):
        (chests / f"p{place}").rename(chests / side)
    assert recipe.load("ct-denoiser", chests).data
    patient = str(opened((chests / "train" / "0.dcm").read_bytes()).PatientID)
    write(chests / "test" / "again.dcm", patient, 31)
    said = complaint(chests)
    assert "the same identity is in train" in said
    assert "test/again.dcm" in said


def test_sides_with_too_little_are_told(chests: Path) -> None:
    (chests / "p1" / "0.dcm").unlink()
    assert "validation has fewer than 6 slices" in complaint(chests)
    for file in (chests / "p2").iterdir():
        file.unlink()
    assert "nothing is in test" in complaint(chests)
