"""Many clients at once: batching changes no answer, a lost client harms nobody, nothing accepted is lost."""

import io
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Running, npy
from training.data.images import Images

NPY = {"content-type": "application/x-npy", "accept": "application/x-npy"}
ACCEPT_NPY = {"accept": "application/x-npy"}
CLIENTS = 32


def together(server: Running, asks: list[Callable[[httpx.Client], Any]]) -> list[Any]:
    """Each of `asks` through one of 32 clients, all at once."""
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda ask: ask(client), asks))


def digit(picture: np.ndarray) -> Callable[[httpx.Client], np.ndarray]:
    def ask(client: httpx.Client) -> np.ndarray:
        headers = {"content-type": "application/x-npy"}
        answer = client.post("/v1/digits/classify", content=npy(picture), headers=headers).json()
        return np.array([one["probabilities"] for one in answer["predictions"]])

    return ask


def sample(seed: int, count: int = 3) -> Callable[[httpx.Client], bytes]:
    wish = {"seed": seed, "count": count}
    return lambda client: client.post("/v1/samples/generate", json=wish, headers=ACCEPT_NPY).content


def level(client: httpx.Client, name: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return sum(one.value for family in families for one in family.samples if one.name == name)


def wait_for_calm(client: httpx.Client) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        names = ("quartet_in_flight_requests", "quartet_queued_rows", "quartet_running_rows")
        if not any(level(client, name) for name in names):
            return
        time.sleep(0.05)
    pytest.fail(client.get("/metrics").text)


def test_batched_answers_are_those_of_requests_alone(server: Running, client: httpx.Client, digits: Images) -> None:
    pictures = [digits.pixels[i : i + 1 + i % 3] for i in range(300)]
    alone = [digit(picture)(client) for picture in pictures]
    for one, other in zip(together(server, [digit(picture) for picture in pictures]), alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_slices_of_different_sizes_are_not_mixed_up(server: Running) -> None:
    def ask(side: int) -> Callable[[httpx.Client], np.ndarray]:
        hu = np.random.default_rng(side).normal(0, 100, (side, side + 16)).astype(np.float32)
        body = npy(hu)
        path = "/v1/ct/denoise?spacing_mm=0.6"
        return lambda client: np.load(io.BytesIO(client.post(path, content=body, headers=NPY).content))

    sides = [64, 96, 128] * 8
    with httpx.Client(base_url=server.url, timeout=60) as client:
        alone = {side: ask(side)(client) for side in set(sides)}
    for side, answer in zip(sides, together(server, [ask(side) for side in sides]), strict=True):
        np.testing.assert_allclose(answer, alone[side], atol=0.05)


def test_a_seed_gives_the_same_samples_whatever_else_is_served(
    server: Running, client: httpx.Client, digits: Images
) -> None:
    quiet = {seed: sample(seed)(client) for seed in range(8)}
    asks = [sample(seed, 1 + seed % 5) if seed % 2 else digit(digits.pixels[:4]) for seed in range(1000, 1100)]
    asks += [sample(seed) for seed in range(8)] * 5
    busy = together(server, asks)[100:]
    for i, answer in enumerate(busy):
        one, other = (np.load(io.BytesIO(body)).astype(int) for body in (answer, quiet[i % 8]))
        assert np.abs(one - other).max() <= 1  # the last bit of a float may round a grey value the other way


def test_the_same_request_gives_the_same_bytes(client: httpx.Client) -> None:
    assert len({sample(7)(client) for _ in range(5)}) == 1


def half_a_request(port: int, body: bytes, sent: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = "POST /v1/digits/classify HTTP/1.1\r\nhost: here\r\ncontent-type: application/x-npy\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:sent])
    return connection


def test_clients_that_hang_up_harm_nobody(server: Running, client: httpx.Client, digits: Images) -> None:
    body = npy(digits.pixels[:64])
    expected = digit(digits.pixels[:8])(client)
    stop = threading.Event()

    def hang_up() -> None:
        while not stop.is_set():
            for sent in (0, len(body) // 2, len(body)):
                half_a_request(server.port, body, sent).close()

    with ThreadPoolExecutor(4) as pool:
        rude = [pool.submit(hang_up) for _ in range(4)]
        try:
            for _ in range(50):
                np.testing.assert_allclose(digit(digits.pixels[:8])(client), expected, atol=1e-5)
        finally:
            stop.set()
        for one in rude:
            one.result()
    wait_for_calm(client)
    assert "Traceback" not in server.log


def test_nothing_that_was_accepted_is_lost_when_the_service_is_told_to_stop(tmp_path: Path, digits: Images) -> None:
    running = Running(tmp_path).wait_until_ready()
    body = npy(digits.pixels[:64])
    connections = [half_a_request(running.port, body, len(body) // 2) for _ in range(16)]
    with httpx.Client(base_url=running.url, timeout=30) as client:
        while level(client, "quartet_in_flight_requests") < len(connections):
            time.sleep(0.05)
    running.process.terminate()
    time.sleep(0.5)
    for connection in connections:
        connection.sendall(body[len(body) // 2 :])
    for connection in connections:
        answer = b""
        while chunk := connection.recv(2**16):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        assert answer.count(b'"digit"') == 64
        connection.close()
    assert running.stop() == 0, running.log


def test_who_never_finishes_a_request_gets_no_more_than_the_time_to_drain(tmp_path: Path) -> None:
    running = Running(tmp_path, QUARTET_DRAIN_S="2", QUARTET_MODELS="convnet", QUARTET_WORKERS="1").wait_until_ready()
    with socket.create_connection(("127.0.0.1", running.port)) as stalled:
        stalled.sendall(b"POST /v1/digits/classify HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n[")
        with httpx.Client(base_url=running.url, timeout=30) as client:
            while not level(client, "quartet_in_flight_requests"):
                time.sleep(0.05)
        started = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - started >= 2
        answer = stalled.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b'"code":"draining"' in answer
    assert "Traceback" not in running.log
