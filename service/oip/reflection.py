"""What this gRPC server offers, for tools that ask it: grpcurl, Postman, Evans."""

from typing import Any

from service.oip.calls import Call, Calls, message_in
from service.oip.grpc_messages import (
    HEALTH,
    REFLECTION,
    SERVICE,
    ServerReflectionRequest,
    ServerReflectionResponse,
    files,
    pool,
)

NOT_FOUND = {"error_code": 5, "error_message": "There is nothing of this name."}  # the code of gRPC


class Reflection:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def admit(self, call: Call) -> None:
        """Anybody, as with the documentation."""

    async def server_reflection_info(self, _: None, call: Call) -> None:
        while (body := await self._calls.receive(call)) is not None:
            with self._calls.budget.lease() as lease:
                request = await message_in(body, ServerReflectionRequest, self._calls.caller(call, lease))
                answer = ServerReflectionResponse(valid_host=request.host, original_request=request, **_answer(request))
                await self._calls.send(call, answer, answer.ByteSize())


def _answer(request: Any) -> dict[str, Any]:
    """The field of the answer. There are no extensions here, nor a file that imports another."""
    wanted = request.WhichOneof("message_request")
    if wanted == "list_services":
        return {"list_services_response": {"service": [{"name": name} for name in (SERVICE, HEALTH, REFLECTION)]}}
    try:
        if wanted == "file_by_filename":
            return _file(request.file_by_filename)
        if wanted == "file_containing_symbol":
            return _file(pool.FindFileContainingSymbol(request.file_containing_symbol).name)
        if wanted == "all_extension_numbers_of_type":
            found = pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
            return {"all_extension_numbers_response": {"base_type_name": found.full_name}}
    except KeyError:
        pass
    return {"error_response": NOT_FOUND}


def _file(name: str) -> dict[str, Any]:
    """Raises KeyError."""
    return {"file_descriptor_response": {"file_descriptor_proto": [files[name].SerializeToString()]}}
