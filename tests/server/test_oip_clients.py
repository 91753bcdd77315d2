"""Triton's own clients, as they come, against a running service: HTTP, HTTP in asyncio, gRPC and its streams."""

import asyncio
import queue
import re
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests import toys
from tests.conftest import PROJECT, PROVIDER, Running, free_port

TOKEN = "a token of an admin"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
IMAGES = np.random.default_rng(5).integers(0, 256, (40, 28, 28)).astype(np.float32)

Address = str


@pytest.fixture(scope="module")
def toy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Address, Address]]:
    """HTTP and gRPC address of a service with toys, in two workers."""
    port = free_port()
    models = toys.all_of_them(tmp_path_factory.mktemp("models"))
    running = Running(
        tmp_path_factory.mktemp("oip"),
        QUARTET_MODELS_DIR=str(models),
        QUARTET_ADMIN_TOKEN=TOKEN,
        QUARTET_GRPC_PORT=str(port),
        QUARTET_THREADS="1",
        QUARTET_WORKERS="2",
    ).wait_until_ready()
    both = f'quartet_loaded_models{{model="toy-ct",provider="{PROVIDER}",version="1"}} 2.0'
    wait_until(lambda: both in httpx.get(f"{running.url}/metrics").text)
    yield f"127.0.0.1:{running.port}", f"127.0.0.1:{port}"
    assert running.stop() == 0, running.log


@pytest.fixture(scope="module")
def http(toy_server: tuple[Address, Address]) -> Iterator[Any]:
    with tritonclient.http.InferenceServerClient(toy_server[0], concurrency=8) as client:
        yield client


@pytest.fixture(scope="module")
def grpc(toy_server: tuple[Address, Address]) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(toy_server[1]) as client:
        yield client


def image(library: ModuleType, images: NDArray[np.float32], **form: Any) -> list[Any]:
    given = library.InferInput("image", list(images.shape), "FP32")
    given.set_data_from_numpy(images, **form)
    return [given]


def assert_right(answer: Any, images: NDArray[np.float32] = IMAGES) -> None:
    np.testing.assert_allclose(answer.as_numpy("probabilities"), toys.probabilities(images), rtol=1e-4)


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc])
def test_the_clients_read_health_and_metadata(library: ModuleType, http: Any, grpc: Any) -> None:
    client = http if library is tritonclient.http else grpc
    plain = {} if library is tritonclient.http else {"as_json": True}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy-digits", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata(**plain)["name"] == "quartet"
    assert client.get_model_metadata("toy-digits", **plain)["inputs"][0]["datatype"] == "FP32"
    index = client.get_model_repository_index(**plain)
    entries = index if isinstance(index, list) else index["models"]
    assert {entry["name"] for entry in entries} == toys.NAMES


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_the_http_client_infers_in_every_form(http: Any, binary_in: bool, binary_out: bool) -> None:
    outputs = [tritonclient.http.InferRequestedOutput("probabilities", binary_data=binary_out)]
    inputs = image(tritonclient.http, IMAGES, binary_data=binary_in)
    answer = http.infer("toy-digits", inputs, outputs=outputs, request_id="seven")
    assert_right(answer)
    assert answer.get_response()["id"] == "seven"


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
def test_the_http_client_compresses(http: Any, request_coding: str | None, response_coding: str | None) -> None:
    coded = {"request_compression_algorithm": request_coding, "response_compression_algorithm": response_coding}
    assert_right(http.infer("toy-digits", image(tritonclient.http, IMAGES), **coded))


def test_the_http_client_has_many_requests_on_their_way(http: Any) -> None:
    parts = np.split(IMAGES, 40)
    waiting = [http.async_infer("toy-digits", image(tritonclient.http, part)) for part in parts]
    for part, one in zip(parts, waiting, strict=True):
        assert_right(one.get_result(), part)


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_the_asyncio_http_client_infers(toy_server: tuple[Address, Address], coding: str | None) -> None:
    few = IMAGES[:2]  # the client compresses on its event loop

    async def ask() -> None:
        async with tritonclient.http.aio.InferenceServerClient(toy_server[0]) as client:
            assert await client.is_server_ready()
            coded = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            asked = (client.infer("toy-digits", image(tritonclient.http, few), **coded) for _ in range(20))
            for answer in await asyncio.gather(*asked):
                assert_right(answer, few)

    asyncio.run(ask())


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc])
def test_the_clients_read_errors(library: ModuleType, http: Any, grpc: Any) -> None:
    client, status = (http, "422") if library is tritonclient.http else (grpc, "StatusCode.INVALID_ARGUMENT")
    with pytest.raises(InferenceServerException, match="image: Must have the shape") as caught:
        client.infer("toy-digits", image(library, IMAGES[:, :9]))
    assert caught.value.status() == status


def test_the_grpc_client_infers_and_compresses(grpc: Any) -> None:
    for coding in (None, "gzip", "deflate"):
        assert_right(grpc.infer("toy-digits", image(tritonclient.grpc, IMAGES), compression_algorithm=coding))


def test_the_grpc_client_streams(grpc: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    grpc.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(100):
        name = "nobody" if number == 50 else "toy-digits"
        grpc.async_stream_infer(name, image(tritonclient.grpc, IMAGES[:1]), request_id=str(number))
    got = [answers.get(timeout=60) for _ in range(100)]
    grpc.stop_stream()
    assert [result.get_response().id for result, error in got if error is None] == [
        str(n) for n in range(100) if n != 50
    ]
    assert "Served here" in got[50][1].message()


def test_the_asyncio_grpc_client_infers(toy_server: tuple[Address, Address]) -> None:
    async def ask() -> None:
        async with tritonclient.grpc.aio.InferenceServerClient(toy_server[1]) as client:
            asked = (client.infer("toy-digits", image(tritonclient.grpc, IMAGES)) for _ in range(20))
            for answer in await asyncio.gather(*asked):
                assert_right(answer)

    asyncio.run(ask())


def test_both_transports_and_the_predict_route_give_the_same_numbers(
    toy_server: tuple[Address, Address], http: Any, grpc: Any
) -> None:
    one = IMAGES[:1]
    over_http = http.infer("toy-digits", image(tritonclient.http, one)).as_numpy("probabilities")
    over_grpc = grpc.infer("toy-digits", image(tritonclient.grpc, one)).as_numpy("probabilities")
    url = f"http://{toy_server[0]}/v1/models/toy-digits/predict"
    predicted = httpx.post(url, json={"inputs": {"image": one.tolist()}}).json()["outputs"]["probabilities"]
    assert over_http.tobytes() == over_grpc.tobytes() == np.array(predicted, np.float32).tobytes()


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc])
def test_a_client_unloads_and_loads_a_model_in_every_worker(library: ModuleType, http: Any, grpc: Any) -> None:
    client = http if library is tritonclient.http else grpc
    with pytest.raises(InferenceServerException, match="Send the admin token"):
        client.unload_model("toy-ct")
    client.unload_model("toy-ct", headers=ADMIN)
    wait_until(lambda: not any(client.is_model_ready("toy-ct") for _ in range(20)))
    client.load_model("toy-ct", headers=ADMIN)
    wait_until(lambda: all(client.is_model_ready("toy-ct") for _ in range(20)))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_each_worker_has_a_model_in_memory_once_it_is_asked(toy_server: tuple[Address, Address]) -> None:
    url = f"http://{toy_server[0]}"
    images = {"inputs": {"image": IMAGES[:1].tolist()}}

    def holding() -> int:
        found = re.search(r'quartet_loaded_models{model="toy-wary".*} (\d)', httpx.get(f"{url}/metrics").text)
        return int(found[1]) if found else 0

    def both_when_asked() -> bool:
        answer = httpx.post(f"{url}/v1/models/toy-wary/predict", json=images)  # over a connection of its own
        assert answer.status_code == 200, answer.text
        return holding() == 2

    assert holding() == 0
    wait_until(both_when_asked)


def test_the_request_in_the_documentation_is_answered(client: httpx.Client) -> None:
    text = (PROJECT / "docs" / "protocol.md").read_text()
    path, body = re.search(r"localhost:3000(\S+/infer) -d '(.*?)'", text, re.DOTALL).groups()  # type: ignore[union-attr]
    answer = client.post(path, content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "42"
