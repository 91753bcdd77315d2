"""LitServe: its API class with its batching."""

from typing import Any

import numpy as np
from litserve import LitAPI, LitServer
from numpy.typing import NDArray

from load_tests.bench.bare_model import BareModel
from load_tests.bench.competitors.address import MAX_BATCH, port


class Digits(LitAPI):
    def setup(self, device: str) -> None:
        self.classifier = BareModel()

    def decode_request(self, request: dict[str, Any]) -> NDArray[np.float32]:
        return np.array(request["images"], np.float32)

    def batch(self, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(inputs)

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.classifier(images)

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        return {"probabilities": [output.tolist()]}


if __name__ == "__main__":
    api = Digits(max_batch_size=MAX_BATCH, batch_timeout=0.001)
    LitServer(api, accelerator="cpu").run(host="127.0.0.1", port=port(), generate_client_file=False, access_log=False)
