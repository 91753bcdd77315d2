"""Who may look into which room: the imports are read, and an arrow that points the wrong way fails."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


def modules(room: str) -> list[Path]:
    return sorted((PROJECT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that the file imports, anywhere in it, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(room: str, *packages: str) -> set[str]:
    """The files of `room` that import one of `packages`, from the project's root."""
    return {
        str(path.relative_to(PROJECT))
        for path in modules(room)
        for name in imported(path)
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    }


def test_the_service_knows_nothing_of_training() -> None:
    assert importers("service", "training", "torch", "tests", "load_tests") == set()


def test_a_client_is_on_its_own() -> None:
    assert importers("clients", "service", "training", "tests", "load_tests") == set()


def test_the_service_serves_without_what_only_training_needs() -> None:
    offline = ("onnx", "onnxscript", "scipy", "sklearn", "skimage", "matplotlib", "rich", "fastparquet", "nrrd")
    assert importers("service", *offline) == set()


@pytest.mark.parametrize(
    ("package", "place"), [("bentoml", "service/app.py"), ("onnxruntime", "service/engine/session.py")]
)
def test_one_place_of_the_service_imports_a_runtime(package: str, place: str) -> None:
    assert importers("service", package) == {place}


def test_few_places_of_the_service_import_what_may_be_missing() -> None:
    jobs = {"service/bulk/sinks.py", "service/bulk/sources.py"}
    assert importers("service", "pyarrow") == {"service/codecs/arrow.py", *jobs}


@pytest.mark.parametrize("room", ["engine", "http", "codecs", "bundle", "release"])
def test_a_room_of_the_service_knows_nothing_of_those_above_it(room: str) -> None:
    below = {"release": {"engine"}}.get(room, set())
    rooms = {"engine", "http", "tasks", "oip", "release"} - {room} - below
    above = [*(f"service.{other}" for other in rooms), "service.lane", "service.pipeline", "service.worker"]
    assert importers(f"service/{room}", *above) == set()


SHARED = ("service.bundle", "service.codecs.handwriting")
# What a command does with a bundle that is finished, and never a recipe.
FINISHED = {"training/__main__.py", "training/export/store.py"}
READS_DICOM = ("service.codecs.dicom", "service.limits", "service.errors", "service.budget")  # as the service does
GATE = ("service.release", "service.engine", "service.metrics", "service.settings")


def test_training_knows_of_the_service_only_the_contract_and_the_preparation() -> None:
    foreign = {
        (str(path.relative_to(PROJECT)), name)
        for path in modules("training")
        for name in imported(path)
        if name.split(".")[0] == "service"
        and not any(name == shared or name.startswith(f"{shared}.") for shared in SHARED)
        and name not in ("service", "service.codecs")  # of `from service import bundle`
        and not (str(path.relative_to(PROJECT)) in FINISHED and name.startswith("service.release"))
        and not (path.parent.name == "gate" and name.startswith(GATE))
        and not (str(path.relative_to(PROJECT)) == "training/given/ct.py" and name.startswith(READS_DICOM))
    }
    assert foreign == set()
    assert importers("training", "bentoml") == set()


@pytest.mark.parametrize("module", SHARED)
def test_what_training_shares_stands_alone(module: str) -> None:
    place = module.replace(".", "/")
    files = modules(place) or [PROJECT / f"{place}.py"]
    names = {name for path in files for name in imported(path) if not f"{name}.".startswith(f"{module}.")}
    assert not [name for name in names if name.split(".")[0] in ("service", "training", "onnx", "onnxruntime", "torch")]


def test_a_recipe_imports_of_the_recipes_only_its_own_parts() -> None:
    for path in modules("training/recipes"):
        _, _, *place = path.relative_to(PROJECT).with_suffix("").parts
        own = ".".join(["training", "recipes", *place[:2]])  # the family's folder, and the recipe
        foreign = [name for name in imported(path) if name.startswith("training.recipes")]
        assert all(f"{name}.".startswith(f"{own}.") for name in foreign), path


def test_only_its_recipe_studies_and_tests_import_a_recipes_parts() -> None:
    looking_in = [*modules("training/recipes"), *modules("training/studies")]
    assert importers("training", "training.recipes") <= {"training/recipe.py"} | {
        str(path.relative_to(PROJECT)) for path in looking_in
    }


def test_pickle_is_imported_only_by_the_restricted_unpicklers() -> None:
    pickles = ("pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal")
    assert importers("service", *pickles) | importers("training", *pickles) == {
        "training/data/frames.py",
        "training/data/images.py",
    }


def calls(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Every call by its dotted name, with the keyword arguments that are constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            constants = {
                one.arg: one.value.value for one in node.keywords if one.arg and isinstance(one.value, ast.Constant)
            }
            yield ast.unparse(node.func), constants


def test_nothing_that_is_loaded_may_unpickle() -> None:
    for path in [*modules("service"), *modules("training"), *modules("load_tests")]:
        for function, constants in calls(path):
            if function in ("np.load", "numpy.load"):
                assert constants.get("allow_pickle") is False, path
            if function == "torch.load":
                assert constants.get("weights_only") is True, path


def test_a_module_is_the_noun_it_owns() -> None:
    vague = {"utils", "helpers", "common", "manager", "base"}
    assert not [path for room in ("service", "training") for path in modules(room) if path.stem in vague]
