"""Attacks below HTTP: the server refuses or hangs up in time, and goes on answering everybody else."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from load_tests.hostile.assaults import ASSAULTS, SETTINGS, SLOW, SLOW_S, Assault, attack
from load_tests.hostile.onslaughts import onslaughts
from load_tests.hostile.siege import ALIVE, besiege, guarded, overrun
from load_tests.model_folder import SMALL, ModelFolder
from load_tests.serving import Serving


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder: Path = tmp_path_factory.mktemp("siege")
    running = Serving(folder, models_dir=ModelFolder(folder).models, **SETTINGS).start()
    yield running
    running.terminate()
    assert running.ended() == 0, running.log


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, str]]:
    folder: Path = tmp_path_factory.mktemp("calls")
    running, key = guarded(folder, ModelFolder(folder))
    yield running, key
    running.terminate()
    assert running.ended() == 0, running.log


@pytest.mark.parametrize("name", [one.name for one in onslaughts("")])
def test_an_onslaught_on_grpc_is_fended_off(calls: tuple[Serving, str], name: str) -> None:
    serving, key = calls
    attack = next(one for one in onslaughts(key) if one.name == name)
    assert list(overrun(serving, key, [attack])) == []


@pytest.mark.parametrize("assault", ASSAULTS, ids=lambda assault: assault.name)
def test_an_assault_is_fended_off(serving: Serving, assault: Assault) -> None:
    assert list(besiege(serving, [assault])) == []


def test_a_slow_body_is_refused_when_its_time_is_up(serving: Serving) -> None:
    outcome = asyncio.run(attack(serving.port, SLOW[0]))
    assert outcome.statuses == [408]
    assert SLOW_S <= outcome.seconds < SLOW_S + 5
    assert outcome.replies[0].headers["connection"] == "close"


def test_pipelined_requests_are_answered_in_order(serving: Serving) -> None:
    names = [b"first", b"second", b"third", b"fourth"]
    requests = [SMALL.replace(b"\r\n\r\n", b"\r\nx-request-id: " + name + b"\r\n\r\n", 1) for name in names]
    outcome = asyncio.run(attack(serving.port, Assault("pipeline", [b"".join(requests)], ([200] * 4,))))
    assert [reply.headers["x-request-id"].encode() for reply in outcome.replies] == names


def test_connections_that_say_nothing_keep_nobody_out(serving: Serving) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            silent.sendall(b"POST /v1/mod")
        assert asyncio.run(attack(serving.port, ALIVE)).statuses == [200]
