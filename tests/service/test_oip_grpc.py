"""The Open Inference Protocol over gRPC, asked by Triton's client in the same event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service.bundle import write_current
from service.engine.repository import Repository
from service.http.keys import new_key
from service.oip.grpc_messages import SERVICE, ModelInferRequest
from service.oip.grpc_server import PortError, listen
from service.pipeline import Pipeline
from tests import toys
from tests.bundle_writer import DTYPES
from tests.conftest import free_port, in_memory
from tests.service.calls import serving
from tests.service.conftest import BY_DTYPE, TOKEN, loaded
from tests.service.connections import PATIENCE_S, until

X, K = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32), np.array([1, 2])
Y = [3, 5, 7, 10, 12, 15]
OTHER = {"x-model-version": "2"}
ADMIN = {"authorization": f"Bearer {TOKEN}"}

Ask = Callable[[InferenceServerClient], Awaitable[Any]]


def asked(repository: Repository, ask: Ask, **changes: Any) -> Any:
    async def run() -> Any:
        async with serving(repository, **changes) as address, InferenceServerClient(address) as client:
            return await ask(client)

    return asyncio.run(run())


def refused(repository: Repository, ask: Ask, **changes: Any) -> tuple[str, str]:
    """Status and message."""
    with pytest.raises(InferenceServerException) as caught:
        asked(repository, ask, **changes)
    return caught.value.status().removeprefix("StatusCode."), caught.value.message()


def tensor(name: str, array: NDArray[Any]) -> InferInput:
    given = InferInput(name, list(array.shape), BY_DTYPE[array.dtype.name])
    given.set_data_from_numpy(array)
    return given


def xk() -> list[InferInput]:
    return [tensor("x", X), tensor("k", K)]


@pytest.fixture
def shelf(tmp_path: Path) -> Repository:
    toys.tensors(tmp_path)
    return loaded(tmp_path, admin_token=TOKEN)


def test_a_request_of_raw_bytes_gets_an_answer_of_raw_bytes(echoing: Repository) -> None:
    answer = asked(echoing, lambda client: client.infer("toy-tensors", xk(), request_id="seven"))
    assert answer.as_numpy("y").ravel().tolist() == Y
    message = answer.get_response()
    assert (message.model_name, message.model_version, message.id) == ("toy-tensors", "1", "seven")
    assert len(message.raw_output_contents) == 1
    assert not message.outputs[0].HasField("contents")


def test_every_dtype_travels(echoing: Repository) -> None:
    arrays = {dtype: np.array([[0, 1, 1]]).astype(dtype) for dtype in DTYPES}
    inputs = [tensor(f"in_{dtype}", array) for dtype, array in arrays.items()]
    outputs = [InferRequestedOutput("out_int32"), InferRequestedOutput("out_bool")]
    everything = asked(echoing, lambda client: client.infer("toy-echo", inputs))
    for dtype, array in arrays.items():
        assert everything.as_numpy(f"out_{dtype}").tobytes() == array.tobytes()
    some = asked(echoing, lambda client: client.infer("toy-echo", inputs, outputs=outputs))
    assert [output.name for output in some.get_response().outputs] == ["out_int32", "out_bool"]


def test_typed_contents_are_answered_by_typed_contents(echoing: Repository) -> None:
    async def ask(client: InferenceServerClient) -> Any:
        x = {"name": "x", "datatype": "FP32", "shape": X.shape, "contents": {"fp32_contents": X.ravel().tolist()}}
        k = {"name": "k", "datatype": "INT64", "shape": K.shape, "contents": {"int64_contents": K.tolist()}}
        return await client._client_stub.ModelInfer(
            service_pb2.ModelInferRequest(model_name="toy-tensors", inputs=[x, k])
        )

    answer = asked(echoing, ask)
    assert list(answer.outputs[0].contents.fp32_contents) == Y
    assert not answer.raw_output_contents


async def late(client: InferenceServerClient) -> None:
    """A request whose time passes while the event loop, which is the server's too, is busy."""
    asking = asyncio.create_task(client.infer("toy-tensors", xk(), client_timeout=0.05))
    await asyncio.sleep(0)
    time.sleep(0.2)
    await asking


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (lambda client: client.infer("nobody", xk()), "NOT_FOUND", "model: Served here: toy-echo, toy-tensors."),
        (lambda client: client.infer("toy-tensors", xk(), "2"), "NOT_FOUND", "version: Served of toy-tensors: 1."),
        (
            lambda client: client.infer("toy-tensors", xk(), headers=OTHER),
            "NOT_FOUND",
            "version: Served of toy-tensors: 1.",
        ),
        (
            lambda client: client.infer("toy-tensors", xk(), "1", headers=OTHER),
            "INVALID_ARGUMENT",
            "version: The body or",
        ),
        (
            lambda client: client.get_model_metadata("toy-echo", headers=OTHER),
            "NOT_FOUND",
            "version: Served of toy-echo",
        ),
        (lambda client: client.infer("toy-tensors", xk()[:1]), "INVALID_ARGUMENT", "inputs.k: Missing."),
        (lambda client: client.infer("toy-tensors", xk(), timeout=1), "DEADLINE_EXCEEDED", "The request's time was up"),
        (late, "DEADLINE_EXCEEDED", ""),
        (lambda client: client.infer("toy-tensors", [tensor("x" * 10**5, X)]), "INVALID_ARGUMENT", "inputs."),
        (lambda client: client.infer("x" * 10**5, xk()), "NOT_FOUND", "model: Served here"),
        (lambda client: client.load_model("toy-echo"), "PERMISSION_DENIED", "This can be done over the network"),
        (lambda client: client.get_model_config("toy-echo"), "UNIMPLEMENTED", ""),
        (lambda client: client.get_model_metadata("nobody"), "NOT_FOUND", "model: Served here"),
    ],
)
def test_an_error_has_the_status_of_its_kind(echoing: Repository, ask: Ask, status: str, says: str) -> None:
    code, message = refused(echoing, ask)
    assert code == status
    assert message.startswith(says)


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_a_message_over_the_limit_is_refused_compressed_or_not(echoing: Repository, compression: str | None) -> None:
    x = tensor("x", np.zeros((2**22, 3), np.float32))
    code, _ = refused(echoing, lambda client: client.infer("toy-tensors", [x], compression_algorithm=compression))
    assert code == "RESOURCE_EXHAUSTED"


def test_the_server_and_its_models_describe_themselves(echoing: Repository) -> None:
    async def ask(client: InferenceServerClient) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("toy-echo", "1")
        assert not await client.is_model_ready("toy-echo", "2")
        assert not await client.is_model_ready("nobody")
        assert (await client.get_server_metadata()).name == "quartet"
        described = await client.get_model_metadata("toy-tensors")
        assert [(one.name, one.datatype, list(one.shape)) for one in described.inputs] == [
            ("x", "FP32", [-1, 3]),
            ("k", "INT64", [-1]),
        ]

    asked(echoing, ask)


def test_a_model_is_unloaded_and_loaded_with_the_token(shelf: Repository) -> None:
    async def ask(client: InferenceServerClient) -> None:
        await client.unload_model("toy-tensors", headers=ADMIN)
        (entry,) = (await client.get_model_repository_index()).models
        assert (entry.name, entry.state, entry.reason) == ("toy-tensors", "UNAVAILABLE", "unloaded")
        await client.load_model("toy-tensors", headers=ADMIN)
        assert await client.is_model_ready("toy-tensors")

    asked(shelf, ask)
    assert refused(shelf, lambda client: client.unload_model("toy-tensors"))[0] == "UNAUTHENTICATED"
    config = lambda client: client.load_model("toy-tensors", headers=ADMIN, config="{}")  # noqa: E731
    assert refused(shelf, config)[0] == "INVALID_ARGUMENT"


def test_a_load_promotes_the_version_that_it_names(tmp_path: Path) -> None:
    for version in ("1", "2"):
        toys.tensors(tmp_path, version=version)
    write_current(tmp_path, "toy-tensors", "1")
    kept = loaded(tmp_path, admin_token=TOKEN)

    def load(**parameters: Any) -> Ask:
        given = {name: {f"{'bool' if value is True else 'string'}_param": value} for name, value in parameters.items()}
        request = service_pb2.RepositoryModelLoadRequest(model_name="toy-tensors", parameters=given)
        return lambda client: client._client_stub.RepositoryModelLoad(request, metadata=tuple(ADMIN.items()))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asked(kept, load(version="2"))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert kept.models["toy-tensors"].manifest.version == "1"
    asked(kept, load(version="2", force=True, reason="a test"))
    assert kept.models["toy-tensors"].manifest.version == "2"


def test_api_keys_hold_here_too(shelf: Repository, tmp_path: Path) -> None:
    key, line = new_key("somebody")
    (tmp_path / "keys").write_text(line)
    file = {"api_keys": tmp_path / "keys"}
    assert refused(shelf, lambda client: client.infer("toy-tensors", xk()), **file)[0] == "UNAUTHENTICATED"
    assert asked(shelf, lambda client: client.infer("toy-tensors", xk(), headers={"x-api-key": key}), **file)
    assert asked(shelf, lambda client: client.is_server_ready(), **file)


def test_an_answer_is_followed_by_its_id_and_its_times(echoing: Repository) -> None:
    async def ask() -> dict[str, str]:
        async with serving(echoing) as address, grpc.aio.insecure_channel(address) as channel:
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer", lambda request: request.SerializeToString())
            x = {"name": "x", "datatype": "FP32", "shape": X.shape}
            k = {"name": "k", "datatype": "INT64", "shape": K.shape}
            raw = [X.tobytes(), K.tobytes()]
            request = ModelInferRequest(model_name="toy-tensors", inputs=[x, k], raw_input_contents=raw)
            call = infer(request, metadata=(("x-request-id", "mine"),))
            await call
            return dict(await call.trailing_metadata())

    metadata = asyncio.run(ask())
    assert metadata["x-request-id"] == "mine"
    assert "infer;dur=" in metadata["server-timing"]


def test_requests_are_counted(echoing: Repository) -> None:
    metrics = echoing.metrics
    outcomes = metrics.model("toy-tensors", "1").outcomes
    ok, errors = outcomes["ok"], metrics.errors["open_inference_grpc", "invalid_value"]
    asked(echoing, lambda client: client.infer("toy-tensors", xk()))
    refused(echoing, lambda client: client.infer("toy-tensors", xk()[:1]))
    assert outcomes["ok"] == ok + 1
    assert metrics.errors["open_inference_grpc", "invalid_value"] == errors + 1
    assert metrics.in_flight == 0


def test_a_stream_answers_in_order_and_an_error_ends_only_its_own_request(echoing: Repository) -> None:
    names = ["toy-tensors"] * 100
    names[7] = "nobody"

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number, name in enumerate(names):
            yield {"model_name": name, "inputs": xk(), "request_id": str(number)}

    async def ask(client: InferenceServerClient) -> list[tuple[Any, Any]]:
        return [answer async for answer in client.stream_infer(requests())]

    answers = asked(echoing, ask)
    for number, (result, error) in enumerate(answers):
        if names[number] == "nobody":
            assert error.message() == "model: Served here: toy-echo, toy-tensors."
        else:
            assert result.get_response().id == str(number)
            assert result.as_numpy("y").ravel().tolist() == Y
    assert len(answers) == 100


def test_a_call_that_is_cancelled_leaves_nothing_behind(echoing: Repository) -> None:
    async def ask(client: InferenceServerClient) -> None:
        calls = [asyncio.create_task(client.infer("toy-tensors", xk())) for _ in range(50)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(result.as_numpy("y").ravel().tolist() == Y for result in results[1::2])

    asked(echoing, ask)
    assert echoing.metrics.in_flight == 0
    assert not in_memory(echoing, "toy-tensors").is_busy


def test_a_stream_whose_client_goes_away_leaves_nothing_behind(
    echoing: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield {"model_name": "toy-tensors", "inputs": xk()}
            await asyncio.sleep(0)

    async def ask(client: InferenceServerClient) -> None:
        stream = client.stream_infer(requests())
        for _ in range(10):
            await anext(stream)
        stream.cancel()
        await until(lambda: not echoing.metrics.in_flight)

    asked(echoing, ask)
    assert echoing.metrics.in_flight == 0
    assert not in_memory(echoing, "toy-tensors").is_busy
    assert not caplog.records


def test_the_end_of_the_service_ends_its_streams_once_they_are_answered(echoing: Repository) -> None:
    async def run() -> list[Any]:
        settings = echoing.settings.model_copy(update={"grpc_port": free_port()})
        server = await listen(Pipeline(echoing, settings), settings, None)

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for _ in range(20):
                yield {"model_name": "toy-tensors", "inputs": xk()}
            await asyncio.Event().wait()

        got: list[Any] = []

        async def read(client: InferenceServerClient) -> None:
            async for result, _ in client.stream_infer(requests()):
                got.append(result.as_numpy("y").ravel().tolist())

        async with InferenceServerClient(f"127.0.0.1:{settings.grpc_port}") as client:
            reading = asyncio.create_task(read(client))
            await until(lambda: len(got) == 20)
            await asyncio.wait_for(server.stop(2 * PATIENCE_S), PATIENCE_S)
            await asyncio.wait_for(reading, PATIENCE_S)
        return got

    assert asyncio.run(run()) == [Y] * 20


def test_bytes_that_are_no_message_are_refused_as_such(echoing: Repository) -> None:
    async def ask(address: str) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/ModelInfer")(b"\xff\xff")
            stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(iter([b"\xff\xff", b""]))
            answers = [answer async for answer in stream]
            assert [b"Not a ModelInferRequest" in answer for answer in answers] == [True, False]
            return caught.value.code()

    async def run() -> grpc.StatusCode:
        async with serving(echoing) as address:
            return await ask(address)

    assert asyncio.run(run()) is grpc.StatusCode.INVALID_ARGUMENT


def test_each_request_of_a_stream_counts_for_the_rate_of_its_key(shelf: Repository, tmp_path: Path) -> None:
    key, line = new_key("somebody")
    (tmp_path / "keys").write_text(f"{line} 3")

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for _ in range(9):
            yield {"model_name": "toy-tensors", "inputs": xk()}

    async def ask(client: InferenceServerClient) -> list[Any]:
        stream = client.stream_infer(requests(), headers={"x-api-key": key})
        return [error async for _, error in stream]

    errors = asked(shelf, ask, api_keys=tmp_path / "keys")
    assert errors[0] is None
    assert "good for 3 requests per second" in errors[-1].message()


def test_a_port_that_is_taken_is_named(echoing: Repository) -> None:
    async def twice() -> None:
        async with serving(echoing, workers=1) as address:
            with pytest.raises(PortError, match=f"gRPC cannot listen on {address}"):
                async with serving(echoing, workers=1, grpc_port=int(address.partition(":")[2])):
                    pass

    asyncio.run(twice())
