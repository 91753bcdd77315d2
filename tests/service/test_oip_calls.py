"""What calls over gRPC may cost, and what the server says of itself to standard tools."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from service.engine.repository import Repository
from service.http.keys import new_key
from service.oip import calls
from service.oip.grpc_messages import (
    HEALTH,
    REFLECTION,
    SERVICE,
    HealthCheckResponse,
    ModelInferRequest,
    ModelStreamInferResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    message_class,
    methods_of,
)
from tests.service.calls import listening
from tests.service.test_oip_grpc import K, X

HealthCheckRequest = message_class(methods_of(HEALTH)["Check"].input_type)
INFER, STREAM = f"/{SERVICE}/ModelInfer", f"/{SERVICE}/ModelStreamInfer"

ONE = ModelInferRequest(
    model_name="toy-tensors",
    inputs=[{"name": "x", "datatype": "FP32", "shape": X.shape}, {"name": "k", "datatype": "INT64", "shape": K.shape}],
    raw_input_contents=[X.tobytes(), K.tobytes()],
).SerializeToString()


def run(repository: Repository, ask: Callable[[grpc.aio.Channel], Awaitable[Any]], **changes: Any) -> Any:
    async def asked() -> Any:
        async with listening(repository, **changes) as (_, channel):
            return await ask(channel)

    return asyncio.run(asked())


async def status_of(call: Awaitable[Any]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def patiently(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def checked(channel: grpc.aio.Channel, service: str) -> str:
    answer = await channel.unary_unary(f"/{HEALTH}/Check")(HealthCheckRequest(service=service).SerializeToString())
    return str(HealthCheckResponse.ServingStatus.Name(HealthCheckResponse.FromString(answer).status))


def test_health_is_told_of_the_service_and_of_each_model(echoing: Repository) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str]:
        assert await status_of(checked(channel, "nobody")) == "NOT_FOUND"
        return [await checked(channel, one) for one in ("", SERVICE, "toy-tensors")]

    assert run(echoing, ask) == ["SERVING"] * 3


def test_who_watches_is_told_when_it_changes(echoing: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[int]:
        request = HealthCheckRequest(service="toy-tensors").SerializeToString()
        watch = channel.unary_stream(f"/{HEALTH}/Watch")(request)
        first = await watch.read()
        monkeypatch.setattr(echoing, "draining", True)
        return [HealthCheckResponse.FromString(one).status for one in (first, await watch.read())]

    assert run(echoing, ask, watch_s=0.01) == [1, 2]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_tools_find_the_services_and_their_messages(echoing: Repository, version: str) -> None:
    wanted = ({"list_services": ""}, {"file_containing_symbol": SERVICE}, {"file_by_filename": "nothing.proto"})

    async def ask(channel: grpc.aio.Channel) -> list[Any]:
        path = f"/{REFLECTION.replace('v1', version)}/ServerReflectionInfo"
        requests = [ServerReflectionRequest(**one).SerializeToString() for one in wanted]
        return [ServerReflectionResponse.FromString(one) async for one in channel.stream_stream(path)(iter(requests))]

    services, file, nothing = run(echoing, ask)
    assert [one.name for one in services.list_services_response.service] == [SERVICE, HEALTH, REFLECTION]
    (described,) = file.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(described).package == "inference"
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_what_anybody_may_ask_is_short(echoing: Repository) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str]:
        check = channel.unary_unary(f"/{HEALTH}/Check")
        names = ["x" * (calls.SMALL - 100), "x" * calls.SMALL]
        told = [await status_of(check(HealthCheckRequest(service=name).SerializeToString())) for name in names]
        long = ServerReflectionRequest(host="x" * calls.SMALL).SerializeToString()
        tool = channel.stream_stream(f"/{REFLECTION}/ServerReflectionInfo")(iter((long,)))
        return [*told, await status_of(tool.read())]

    assert run(echoing, ask) == ["NOT_FOUND", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]


def test_nothing_is_read_of_somebody_without_a_key(echoing: Repository, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(new_key("somebody")[1])

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def ask(channel: grpc.aio.Channel) -> list[str]:
        """Refused before there is a message."""
        unary = channel.stream_unary(INFER)(never())
        stream = channel.stream_stream(STREAM)(never())
        return [await status_of(unary), await status_of(stream.read())]

    assert run(echoing, ask, api_keys=tmp_path / "keys") == ["UNAUTHENTICATED"] * 2


def test_an_opening_of_a_stream_is_not_charged_to_a_key_but_each_of_its_requests(
    echoing: Repository, tmp_path: Path
) -> None:
    key, line = new_key("somebody")
    (tmp_path / "keys").write_text(f"{line} 0.001")

    async def ask(channel: grpc.aio.Channel) -> list[str]:
        told = []
        for _ in range(3):
            empty = channel.stream_stream(STREAM)(iter(()), metadata=(("x-api-key", key),))
            assert [one async for one in empty] == []
        stream = channel.stream_stream(STREAM)(iter((ONE, ONE)), metadata=(("x-api-key", key),))
        async for answer in stream:
            told.append(ModelStreamInferResponse.FromString(answer).error_message)
        return told

    first, second = run(echoing, ask, api_keys=tmp_path / "keys")
    assert first == ""
    assert "good for 0.001 requests per second" in second


def test_an_idle_stream_makes_room_for_a_call(echoing: Repository) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str]:
        streams = [channel.stream_stream(STREAM)() for _ in range(3)]
        for stream in streams:
            await stream.write(ONE)
            await stream.read()
        told = [await status_of(channel.unary_unary(INFER)(ONE)), await status_of(streams[0].read())]
        await streams[2].write(ONE)
        return [*told, await status_of(streams[2].read())]

    assert run(echoing, ask, max_connections=3) == ["OK", "UNAVAILABLE", "OK"]


def test_messages_that_come_slowly_have_few_places(echoing: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SOON_S", 0.01)
    errors = echoing.metrics.errors
    before = errors["open_inference_grpc", "memory_full"]

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def ask(channel: grpc.aio.Channel) -> list[str]:
        slow = [channel.stream_unary(INFER)(never()) for _ in range(calls.FEWEST + 2)]
        await patiently(lambda: errors["open_inference_grpc", "memory_full"] == before + 2)
        return sorted([await status_of(one) for one in slow])

    expected = ["DEADLINE_EXCEEDED"] * calls.FEWEST + ["UNAVAILABLE"] * 2
    assert run(echoing, ask, body_timeout_s=1, memory_budget=2**20) == expected


def test_a_message_counts_for_the_memory_of_all_requests(echoing: Repository) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str]:
        infer, budget = channel.unary_unary(INFER), echoing.metrics.budget
        assert budget is not None
        told = [await status_of(infer(bytes(2**20))), await status_of(infer(ONE))]
        with budget.lease() as other:
            other.grow(budget.size - 1)
            told.append(await status_of(infer(ONE)))
        assert budget.held == 0
        return told

    changes = {"memory_budget": 2**20, "max_body_bytes": 2**22}
    assert run(echoing, ask, **changes) == ["RESOURCE_EXHAUSTED", "OK", "UNAVAILABLE"]


def test_late_calls_are_told_that_the_service_is_going_down(echoing: Repository) -> None:
    async def scene() -> set[str]:
        told = set()
        async with listening(echoing) as (server, channel):
            stream = channel.stream_stream(STREAM)()
            await stream.write(ONE)
            await stream.read()
            ending = asyncio.create_task(server.stop(60))
            while not ending.done() or told != {"UNAVAILABLE"}:
                told = {await status_of(channel.unary_unary(INFER)(ONE))}
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() is grpc.StatusCode.OK
        return told

    assert asyncio.run(scene()) == {"UNAVAILABLE"}


def test_what_has_no_more_time_at_the_end_is_told_so(echoing: Repository) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def scene() -> str:
        in_flight = echoing.metrics.in_flight
        async with listening(echoing) as (server, channel):
            call = channel.stream_unary(INFER)(never())
            await patiently(lambda: echoing.metrics.in_flight > in_flight)
            await server.stop(0.01)
            return await status_of(call)

    assert asyncio.run(scene()) == "UNAVAILABLE"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_it_listens_on_addresses_of_the_sixth_version(echoing: Repository, host: str) -> None:
    async def scene() -> str:
        async with listening(echoing, grpc_host=host) as (_, channel):
            return await status_of(channel.unary_unary(INFER)(ONE))

    assert asyncio.run(scene()) == "OK"
