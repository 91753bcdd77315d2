"""PyTriton: Triton, in C++, with its dynamic batcher, before the model in a Python process."""

import os
import signal
import sys
import sysconfig

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from load_tests.bench.bare_model import BareModel
from load_tests.bench.competitors.address import MAX_BATCH, port
from load_tests.servers import free_port

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that Triton is stopped and cleans up
    # Triton starts a Python of its own, which must be this one's.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    classifier = BareModel()

    @batch
    def classify(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {"probabilities": classifier(image)}

    ports = TritonConfig(http_port=port(), grpc_port=free_port(), metrics_port=free_port())
    with Triton(config=ports) as triton:
        triton.bind(
            model_name="digits",
            infer_func=classify,
            inputs=[Tensor(name="image", dtype=np.float32, shape=(28, 28))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher()),
        )
        triton.serve()
