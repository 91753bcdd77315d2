"""KServe: its Python model server, both protocols. It does not batch; in a cluster a sidecar does."""

import logging
from typing import Any

import numpy as np
from kserve import InferRequest, Model, ModelServer
from kserve.utils.utils import get_predict_response

from load_tests.bench.bare_model import BareModel
from load_tests.bench.competitors.address import port


class Digits(Model):
    def __init__(self) -> None:
        super().__init__("digits")
        self.classifier = BareModel()
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        if isinstance(payload, InferRequest):
            images = payload.inputs[0].as_numpy()
        else:
            images = np.array(payload["instances"], np.float32)
        return get_predict_response(payload, self.classifier(images), self.name)


if __name__ == "__main__":
    server = ModelServer(http_port=port(), enable_grpc=False, enable_latency_logging=False)
    for name in ("kserve.trace", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Digits()])
