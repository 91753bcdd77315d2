"""Whether the service does what its OpenAPI document says, asked with requests made from the document."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error, positive_data_acceptance
from schemathesis.core.failures import FailureGroup

NAME = {"name": "toy-tensors"}
DEADLINE_EXCEEDED = 504


def departures(app: Any, examples: int) -> Iterator[str]:
    """What the service does otherwise than documented; `examples` requests of each kind to each operation."""
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", app)
    for result in schema.get_all_operations():
        operation = result.ok()
        # Any name is right by the document; to get past a 404, half of the requests have one that is known.
        named = NAME if "{name}" in operation.path else None
        for mode, names in ((GenerationMode.POSITIVE, named), (GenerationMode.NEGATIVE, None)):
            cases = operation.as_strategy(generation_mode=mode, path_parameters=names)
            for departure, times in _departures(cases, examples).items():
                yield f"{operation.label}, {mode.value} data: {departure} ({times} x)"


def _departures(cases: Any, examples: int) -> Counter[str]:
    found: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        found.update(_judged(case))

    with suppress(Unsatisfiable):  # there is nothing that could be wrong with GET /livez
        ask()
    return found


def _judged(case: Any) -> list[str]:
    response = case.call()
    # A document cannot say everything about a picture, and a client may ask for a deadline of a millisecond.
    excluded = [positive_data_acceptance]
    if response.status_code == DEADLINE_EXCEEDED:
        excluded.append(not_a_server_error)
    try:
        case.validate_response(response, excluded_checks=excluded)
    except FailureGroup as group:
        return [f"{failure.title}: {failure.message} ({case.as_curl_command()[:500]})" for failure in group.exceptions]
    return []
