"""FastAPI: a typed endpoint over the model, under uvicorn. It does not batch.

With `ACCESS_LOG` in the environment it logs every request, as uvicorn does by default. Its threads cost more than the
model does: the endpoint runs in the event loop.
"""

import os

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from load_tests.bench.classifier import Classifier
from load_tests.bench.competitors.address import port

app = FastAPI()
classifier = Classifier()


class Digits(BaseModel):
    images: list[list[list[float]]]


class Answer(BaseModel):
    probabilities: list[list[float]]


@app.post("/classify")
async def classify(digits: Digits) -> Answer:
    return Answer(probabilities=classifier(np.array(digits.images, np.float32)).tolist())


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=port(), access_log="ACCESS_LOG" in os.environ)
