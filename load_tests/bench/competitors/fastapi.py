"""FastAPI: endpoints over the model, under uvicorn: a typed one for digits, one for arrays of CT slices. No batches.

With `ACCESS_LOG` in the environment it logs every request, as uvicorn does by default. Its threads cost more than the
digit model does, so that endpoint runs in the event loop; that for slices, which take their time, does not.
"""

import io
import os

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from load_tests.bench.bare_model import BareModel
from load_tests.bench.competitors.address import port

app = FastAPI()
model = BareModel()


class Digits(BaseModel):
    images: list[list[list[float]]]


class Answer(BaseModel):
    probabilities: list[list[float]]


@app.post("/classify")
async def classify(digits: Digits) -> Answer:
    return Answer(probabilities=model(np.array(digits.images, np.float32)).tolist())


@app.post("/denoise")
async def denoise(request: Request) -> Response:
    return Response(await run_in_threadpool(denoised, await request.body()), media_type="application/x-npy")


def denoised(body: bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, model(np.load(io.BytesIO(body), allow_pickle=False).astype(np.float32)))
    return buffer.getvalue()


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=port(), access_log="ACCESS_LOG" in os.environ)
