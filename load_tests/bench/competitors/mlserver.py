"""MLServer: a custom runtime with its adaptive batching."""

import asyncio
from tempfile import mkdtemp

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from load_tests.bench.bare_model import BareModel
from load_tests.bench.competitors.address import MAX_BATCH, port
from load_tests.servers import free_port


class Digits(MLModel):
    async def load(self) -> bool:
        self.classifier = BareModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        probabilities = NumpyCodec.encode_output("probabilities", self.classifier(images))
        return InferenceResponse(model_name=self.name, outputs=[probabilities])


async def serve() -> None:
    ports = {"http_port": port(), "grpc_port": free_port(), "metrics_port": free_port()}
    settings = Settings(**ports, metrics_dir=mkdtemp(), debug=False)
    implementation = f"{__spec__.name}.Digits"
    model = ModelSettings(name="digits", implementation=implementation, max_batch_size=MAX_BATCH, max_batch_time=0.001)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(serve())
