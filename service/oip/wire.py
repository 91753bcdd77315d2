"""The messages of inference.proto, built from its compiled form when this is imported.

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

_pool = DescriptorPool()
for _file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
    _pool.Add(_file)

methods: dict[str, Any] = dict(_pool.FindServiceByName(SERVICE).methods_by_name)


def message_class(descriptor: Any) -> Any:
    return GetMessageClass(descriptor)


ModelInferRequest = message_class(methods["ModelInfer"].input_type)
ModelInferResponse = message_class(methods["ModelInfer"].output_type)
ModelStreamInferResponse = message_class(methods["ModelStreamInfer"].output_type)
