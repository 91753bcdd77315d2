"""The Open Inference Protocol, version 2, over HTTP and gRPC, on the same batcher as the typed endpoints.

https://github.com/kserve/open-inference-protocol, with the extensions `binary_tensor_data` and `model_repository` of
NVIDIA Triton. docs/protocol.md shows it in use.

    datatypes    the protocol's names of dtypes, arrays of raw bytes
    asked        a request as both transports understand it, and the models' descriptions
    rest         JSON and binary bodies <-> what was asked and answered
    routes       the HTTP routes below /v2
    wire         the messages of inference.proto
    grpc_form    messages <-> what was asked and answered
    grpc_server  the gRPC service
"""
