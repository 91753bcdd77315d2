"""The digit model as everybody but the service loads it: a file and a number of threads, named by the environment."""

import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class Classifier:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["CLASSIFIER_THREADS"])
        self._session = onnxruntime.InferenceSession(os.environ["CLASSIFIER_GRAPH"], options)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [N, 10] of pictures [N, 28, 28], 0 to 255."""
        probabilities: NDArray[np.float32]
        (probabilities,) = self._session.run(None, {"image": images})
        return probabilities
