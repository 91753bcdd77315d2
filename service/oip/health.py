"""The health of the service and of each model, in gRPC's standard form."""

import asyncio
from contextlib import suppress
from typing import Any

from service.engine.repository import Repository
from service.errors import NotReady, QuartetError, UnknownModel
from service.oip.calls import Call, Calls
from service.oip.grpc_messages import HEALTH, SERVICE, HealthCheckResponse


class Health:
    """A service's name is that of a model, of the protocol's service, or empty: all of it."""

    def __init__(self, repository: Repository, every_s: float, calls: Calls) -> None:
        self._repository, self._every_s, self._calls = repository, every_s, calls

    def admit(self, call: Call) -> None:
        """Anybody: load balancers have no key."""

    async def check(self, request: Any, call: Call) -> dict[str, str]:
        """Raises UnknownModel."""
        return {"status": self._status(request.service)}

    async def watch(self, request: Any, call: Call) -> None:
        """Tells the status now and whenever it has changed, until the client or the service goes."""
        told = None
        while True:
            try:
                status = self._status(request.service)
            except QuartetError:
                status = "SERVICE_UNKNOWN"
            if status != told:
                await self._calls.send(call, HealthCheckResponse(status=status), 0)
                told = status
            if self._calls.leaving.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._calls.leaving.wait(), self._every_s)

    def _status(self, name: str) -> str:
        """Raises UnknownModel."""
        ready = self._repository.ready
        if name not in ("", SERVICE, HEALTH):
            try:
                self._repository.pick(name, None)
                ready = not self._repository.draining
            except NotReady:
                ready = False
            except UnknownModel:
                raise UnknownModel("There is no such service or model.", "service") from None
        return "SERVING" if ready else "NOT_SERVING"
