"""How the number of users moves during a Locust run, and what makes the run fail."""

import logging
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from locust import LoadTestShape, events

# The share of the users at a time from 0 to 1 of the run.
LEVELS: dict[str, Callable[[float], float]] = {
    "steady": lambda time: 1.0,
    "ramp": lambda time: time,
    "spike": lambda time: 1.0 if 0.4 <= time < 0.6 else 0.2,
    "soak": lambda time: 0.5,
}
RUN_S = {"soak": 3600.0}  # where --run-time says nothing; 60 for the others

log = logging.getLogger(__name__)


class Shape(LoadTestShape):
    """`--shape` of `--users`, within `--run-time`."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        seconds = options.run_time or RUN_S.get(options.shape, 60.0)
        time = self.get_run_time() / seconds
        if time >= 1:
            return None
        return max(1, round((options.num_users or 16) * LEVELS[options.shape](time))), options.spawn_rate or 8


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser, **_: Any) -> None:
    parser.add_argument("--shape", choices=LEVELS, default="steady", help="how the number of users moves")
    parser.add_argument("--most-failures", type=float, default=0.0, metavar="PERCENT", help="more fail the run")
    parser.add_argument("--most-p99-ms", type=float, default=0.0, metavar="MS", help="more fail the run; 0: any")


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """The exit status: 1 where a threshold was passed, or nothing was asked."""
    options, total = environment.parsed_options, environment.stats.total
    found = []
    if not total.num_requests:
        found.append("no request was answered")
    if 100 * total.fail_ratio > options.most_failures:
        found.append(f"{100 * total.fail_ratio:.2f} % failed, allowed {options.most_failures:g}")
    if options.most_p99_ms and (p99 := total.get_response_time_percentile(0.99)) > options.most_p99_ms:
        found.append(f"p99 was {p99:.0f} ms, allowed {options.most_p99_ms:g}")
    if not hasattr(options, "worker") or not options.worker:  # whose share says nothing
        for text in found:
            log.error("the run failed: %s", text)
        environment.process_exit_code = 1 if found else 0
