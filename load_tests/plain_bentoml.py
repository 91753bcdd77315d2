"""The digit model as BentoML's own documentation would serve it: a batchable API, everything else by default."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service
class Plain:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PLAIN_THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["PLAIN_MODEL"], options)

    @bentoml.api(batchable=True)
    def classify(self, images: np.ndarray) -> np.ndarray:
        """Probabilities [N, 10] of pictures [N, 28, 28]."""
        (probabilities,) = self.session.run(None, {"image": images.astype(np.float32)})
        return probabilities
