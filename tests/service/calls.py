"""A gRPC server in this event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service.engine.repository import Repository
from service.oip.grpc_server import Server, listen
from service.pipeline import Pipeline
from tests.conftest import free_port, keys_of

ALONE = (("grpc.use_local_subchannel_pool", 1),)  # a channel has a connection of its own


@asynccontextmanager
async def listening(repository: Repository, **changes: Any) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    """A gRPC server over `repository`, and a channel to it."""
    changes = {"grpc_port": free_port(), "grpc_host": "127.0.0.1", "max_body_bytes": 2**20, "max_rows": 32} | changes
    settings = repository.settings.model_copy(update=changes)
    server = await listen(Pipeline(repository, settings), settings, keys_of(settings))
    host = settings.grpc_host.strip("[]")
    address = f"[{host}]:{settings.grpc_port}" if ":" in host else f"{host}:{settings.grpc_port}"
    try:
        async with grpc.aio.insecure_channel(address, ALONE) as channel:
            yield server, channel
    finally:
        await server.stop(1)
        await server.close()


@asynccontextmanager
async def serving(repository: Repository, **changes: Any) -> AsyncIterator[str]:
    """The address of a gRPC server over `repository`."""
    changes = {"grpc_port": free_port()} | changes
    async with listening(repository, **changes):
        yield f"127.0.0.1:{changes['grpc_port']}"
