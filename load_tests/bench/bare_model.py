"""The model as everybody but the service loads it: a file and a number of threads, named by the environment."""

import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class BareModel:
    """What the first input is to the first output, both float32 and batch first."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["MODEL_THREADS"])
        self._session = onnxruntime.InferenceSession(os.environ["MODEL_GRAPH"], options)
        self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs: NDArray[np.float32]
        (outputs,) = self._session.run([self._output], {self._input: inputs})
        return outputs
