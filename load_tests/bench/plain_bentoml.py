"""The digit model as BentoML's own documentation would serve it: a batchable API, everything else by default."""

import bentoml
import numpy as np

from load_tests.bench.bare_model import BareModel


@bentoml.service
class Plain:
    def __init__(self) -> None:
        self.classifier = BareModel()

    @bentoml.api(batchable=True)
    def classify(self, images: np.ndarray) -> np.ndarray:
        """Probabilities [N, 10] of pictures [N, 28, 28]."""
        return self.classifier(images.astype(np.float32))
