"""The messages of the three definitions here, built from their compiled form when this is imported.

They live in a descriptor pool of their own. protoc's Python modules would register them in the process-wide one, which
refuses a second definition of the same names, as a client library of this protocol in the same process brings.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

COMPILED = Path(__file__).with_name("inference.binpb")
SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"

files = {file.name: file for file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file}

pool = DescriptorPool()
for _file in files.values():
    pool.Add(_file)


def methods_of(service: str) -> dict[str, Any]:
    return dict(pool.FindServiceByName(service).methods_by_name)


def message_class(descriptor: Any) -> Any:
    return GetMessageClass(descriptor)


def _message(name: str) -> Any:
    return message_class(pool.FindMessageTypeByName(name))


ModelInferRequest = _message("inference.ModelInferRequest")
ModelInferResponse = _message("inference.ModelInferResponse")
ModelStreamInferResponse = _message("inference.ModelStreamInferResponse")
HealthCheckResponse = _message("grpc.health.v1.HealthCheckResponse")
ServerReflectionRequest = _message("grpc.reflection.v1.ServerReflectionRequest")
ServerReflectionResponse = _message("grpc.reflection.v1.ServerReflectionResponse")
