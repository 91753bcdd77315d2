"""A Locust user for every task, who sends its examples. A wrong answer counts as a failure, whatever its status.

locust --locustfile load_tests/locustfile.py --host http://127.0.0.1:3000 --shape spike --most-p99-ms 200

The examples come from the bundles of QUARTET_MODELS_DIR, or of `models/`: the service must serve these versions.
"""

import random
from itertools import groupby
from operator import attrgetter
from typing import ClassVar

from locust import FastHttpUser, between, task

from load_tests.examples import ExampleRequest, requests_of
from load_tests.shapes import Shape as Shape  # for Locust to find
from service.settings import Settings


class TaskUser(FastHttpUser):
    """Sends one of a task's examples after the other, in any order, and looks at the answers."""

    abstract = True
    wait_time = between(0.05, 0.2)
    requests: ClassVar[list[ExampleRequest]] = []

    @task
    def ask(self) -> None:
        asked = random.choice(self.requests)
        headers = {"content-type": asked.example.media_type, "accept": asked.example.accept}
        name = f"{asked.path} {asked.model} {asked.example.name}"
        with self.client.post(
            asked.target, data=asked.example.body, headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return
            try:
                asked.example.check(response.content)
            except Exception as error:
                response.failure(f"{type(error).__name__}: {error}")


def _users() -> dict[str, type[TaskUser]]:
    requests = sorted(requests_of(Settings.from_environment().models_dir), key=attrgetter("task.name"))
    return {
        name: type(name, (TaskUser,), {"requests": list(found)})
        for name, found in groupby(requests, lambda asked: asked.task.name)
    }


globals().update(_users())  # where Locust looks for them
