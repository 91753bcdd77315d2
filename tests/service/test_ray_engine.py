"""A job over two nodes of a Ray cluster: the same rows, the same rejects. `make ray-test` installs Ray and runs it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.bulk.command import main
from service.bulk.progress import SUFFIX
from service.bulk.sources import BulkError

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def two_nodes(toy_models: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_MODELS_DIR", f"{toy_models}")
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["id;rooms;kind", *(f"{n};{99 if n == 8 else n % 10 + 1};flat" for n in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "rows.csv"


def batch(engine: str, source: Path, output: Path) -> int:
    return main(["tables", f"{source}", f"{output}", "--model", "toy-table", "--block", "5", "--engine", engine])


def test_both_engines_write_the_same_and_go_on_where_the_other_stood(
    two_nodes: None, table: Path, tmp_path: Path
) -> None:
    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    over_processes, over_ray = tmp_path / "processes.csv", tmp_path / "ray.csv"
    assert batch("processes", table, over_processes) == 1
    assert batch("ray", table, over_ray) == 1
    whole = over_processes.read_bytes()
    assert over_ray.read_bytes() == whole
    rejects = [path.with_name(f"{path.name}.rejects.jsonl").read_bytes() for path in (over_processes, over_ray)]
    assert rejects[0] == rejects[1]
    noted = over_processes.with_name(over_processes.name + SUFFIX)
    kept = b"".join(whole.splitlines(keepends=True)[: 1 + 14])  # three blocks, a row of which is bad
    progress = json.loads(noted.read_text())
    noted.write_text(json.dumps(progress | {"items": 15, "answered": 14, "output": len(kept), "done": False}))
    assert batch("ray", table, over_processes) == 1
    assert over_processes.read_bytes() == whole


def test_what_is_wrong_with_the_input_is_said(two_nodes: None, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"rooms": 3, "kind": "flat"}\n{"rooms"\n')
    with pytest.raises(BulkError, match="line 2 is no JSON"):
        batch("ray", tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
