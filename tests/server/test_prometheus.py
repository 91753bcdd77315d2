"""A real Prometheus scrapes a service with two workers, and finds what the dashboard asks for."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from deploy.dashboards import queries
from service.settings import PROJECT
from tests import toys
from tests.conftest import Running, free_port, npy

PROMETHEUS = shutil.which("prometheus")
CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: quartet, static_configs: [{{targets: ["{target}"]}}]}}]
"""
RULES = PROJECT / "deploy" / "helm" / "quartet" / "files" / "rules.yaml"
LONG_S = 120
CLASSIFY = "/v1/digits/classify?model=toy-digits"
WATCHED = "linear-housing"  # whose features have a reference, from which drift is told
ROWS = {"rows": [{"area": 2000 + n, "bedrooms": 3} for n in range(60)]}

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus, which Debian has")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("scraped")
    models = toys.all_of_them(folder / "models")
    shutil.copytree(PROJECT / "models" / WATCHED, models / WATCHED)
    settings = {"QUARTET_MODELS_DIR": str(models), "QUARTET_MODELS": f"toy-digits {WATCHED}", "QUARTET_WORKERS": "2"}
    started = Running(folder, TMPDIR=str(folder), **settings).wait_until_ready()
    (models / "toy-digits" / "CURRENT").write_text("no-such-version")  # which does not load, and is counted
    yield started
    assert started.stop() == 0, started.log


@pytest.fixture(scope="module")
def prometheus(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    target = running.url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(CONFIGURATION.format(rules=RULES, target=target))
    command = [str(PROMETHEUS), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client
    process.terminate()
    process.wait()


def values(prometheus: httpx.Client, query: str) -> list[float]:
    try:
        answer = prometheus.get("/api/v1/query", params={"query": query}).json()
    except httpx.TransportError:  # not up yet
        return []
    return [float(one["value"][1]) for one in answer["data"]["result"]]


def missing(running: Running, prometheus: httpx.Client, wanted: set[str]) -> set[str]:
    """The queries that have no figure for all that is asked of the service meanwhile."""
    until = time.monotonic() + LONG_S
    body, headers = npy(np.zeros((3, 28, 28))), {"content-type": "application/x-npy"}
    with httpx.Client(base_url=running.url, timeout=30) as client:
        while wanted and time.monotonic() < until:
            assert client.post(CLASSIFY, content=body, headers=headers).status_code == 200
            assert client.post(CLASSIFY).status_code == 400
            assert client.post(f"/v1/tables/predict?model={WATCHED}", json=ROWS).status_code == 200
            wanted = {query for query in wanted if not any(map(math.isfinite, values(prometheus, query)))}
            time.sleep(0.2)
    return wanted


def test_every_query_of_the_dashboard_has_data(running: Running, prometheus: httpx.Client) -> None:
    wanted = {query for query in queries("quartet", ".*", "10s") if "quartet_" in query}
    # Of what does not go on here.
    idle = ("evictions", "gpu_", "live_", "shadow_", "candidates", "rollbacks", "rows_again")
    wanted = {query for query in wanted if not any(f"quartet_{name}" in query for name in idle)}
    assert len(wanted) > 20
    assert missing(running, prometheus, wanted) == set()


def test_every_recording_rule_has_data(running: Running, prometheus: httpx.Client) -> None:
    recorded = {"quartet:requests:rate5m", "quartet:error_ratio:rate5m", "quartet:versions:count"}
    assert missing(running, prometheus, recorded) == set()


def test_both_workers_are_counted_whichever_is_scraped(running: Running, prometheus: httpx.Client) -> None:
    assert missing(running, prometheus, {"quartet_workers == 2"}) == set()


def test_a_service_that_is_well_raises_no_alert_but_of_the_version_that_does_not_load(prometheus: httpx.Client) -> None:
    answer = prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
    assert {one["labels"]["alertname"] for one in answer if one["state"] == "firing"} <= {"QuartetVersionRefused"}


def test_the_page_keeps_prometheus_conventions(running: Running) -> None:
    page = httpx.get(f"{running.url}/metrics").content
    ran = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
