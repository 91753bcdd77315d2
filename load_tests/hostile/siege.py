"""A server under assault, one after the other, and whether it still stands after each."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc

from load_tests.hostile.assaults import ASSAULTS, SETTINGS, Assault, attack
from load_tests.hostile.onslaughts import Onslaught, onslaughts, under
from load_tests.model_folder import SMALL, STEP, ModelFolder
from load_tests.servers import free_port
from load_tests.serving import Serving, within
from service.http.keys import new_key
from service.oip.grpc_messages import SERVICE, ModelInferRequest

SETTLE_S = 5
GROWTH = 64 * 2**20  # bytes
SPARE = 8  # open files
ALIVE = Assault("a sound request", [SMALL], ([200],))
INPUT = {"name": "x", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32_contents": [1, 2, 3]}}
SOUND = ModelInferRequest(model_name=STEP, inputs=[INPUT]).SerializeToString()


def besiege(serving: Serving, assaults: list[Assault]) -> Iterator[str]:
    """What the server did wrong under each assault and after it."""
    for assault in assaults:
        outcome = asyncio.run(attack(serving.port, assault))
        if outcome.statuses not in assault.allowed:
            yield f"{assault.name}: answered {outcome.statuses}, allowed is any of {list(assault.allowed)}"
        if asyncio.run(attack(serving.port, ALIVE)).statuses != [200]:
            yield f"{assault.name}: afterwards the server does not answer"
    yield from left_behind(serving)


def left_behind(serving: Serving) -> Iterator[str]:
    if "Traceback" in serving.log:
        yield f"a traceback in the log: {serving.log.partition('Traceback')[2][:3000]}"
    if not within(SETTLE_S, lambda: serving.level("quartet_in_flight_requests") == 0):
        yield f"requests are still in flight after {SETTLE_S} s"


def overrun(serving: Serving, key: str, attacks: list[Onslaught]) -> Iterator[str]:
    """What the server did wrong, to somebody connected, under each onslaught on its port for gRPC and after it."""
    with grpc.insecure_channel(f"127.0.0.1:{serving.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        def answered() -> bool:
            try:
                return bool(infer(SOUND, timeout=SETTLE_S, metadata=(("x-api-key", key),)))
            except grpc.RpcError:
                return False

        def sound() -> bool:
            """With as many tries as somebody patient has, for whom there may be no room at once."""
            return within(SETTLE_S, answered)

        sound()  # it is connected now
        for one in attacks:
            memory, files = serving.memory(), serving.open_files()
            with under(serving.grpc_port, one):
                if not sound():
                    yield f"{one.name}: a sound call is not answered meanwhile"
                if not serving.is_ready():
                    yield f"{one.name}: HTTP is not answered meanwhile"
                if (grown := serving.memory() - memory) > GROWTH:
                    yield f"{one.name}: memory has grown by {grown >> 20} MB meanwhile, limit {GROWTH >> 20}"
            if not sound():
                yield f"{one.name}: afterwards a sound call is not answered"
            if not within(SETTLE_S, lambda files=files: serving.open_files() <= files + SPARE):
                yield f"{one.name}: {serving.open_files() - files} files are still open after {SETTLE_S} s"
    yield from left_behind(serving)


def guarded(folder: Path, model_folder: ModelFolder) -> tuple[Serving, str]:
    """A server that wants a key, over gRPC as well, and the key."""
    key, line = new_key("somebody")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keys").write_text(line)
    settings = {**SETTINGS, "grpc_port": free_port(), "api_keys": folder / "keys", "models_dir": model_folder.models}
    return Serving(folder, **settings).start(), key


def siege(folder: Path) -> Iterator[str]:
    model_folder = ModelFolder(folder)
    serving = Serving(folder, models_dir=model_folder.models, **SETTINGS).start()
    try:
        yield from besiege(serving, ASSAULTS)
        print(f"{len(ASSAULTS)} assaults below HTTP")
    finally:
        serving.terminate()
        serving.ended()
    serving, key = guarded(folder / "guarded", model_folder)
    try:
        attacks = onslaughts(key)
        yield from overrun(serving, key, attacks)
        print(f"{len(attacks)} onslaughts below gRPC")
    finally:
        serving.terminate()
        serving.ended()
