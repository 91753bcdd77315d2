"""The BentoML service: what `service/host.py`, `bentoml build` and its clients use; the lane answers in front."""

import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
import orjson
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import BentoMLException
from opentelemetry import trace as otel

from service import __version__
from service.allocator import give_back_early
from service.errors import QuartetError
from service.http.connection import Connection
from service.http.fair_accept import FairAccept
from service.http.observability import request_id
from service.messages import JSON, Request
from service.settings import Settings
from service.shared_folder import folder_of_siblings
from service.task import Task
from service.tasks import BY_PATH
from service.worker import Worker, configure_logging

settings = Settings.from_environment()


class LaneService(bentoml.Service[Any]):  # type: ignore[misc]
    """A BentoML service whose app has the lane in front."""

    def to_asgi(self, is_main: bool = True) -> Any:
        configure_logging(worker.metrics)
        give_back_early()
        _send_spans()
        worker.metrics.shared = worker.metrics.shared or folder_of_siblings(Path(tempfile.gettempdir()))
        protocol = FairAccept if settings.processes > 1 else Connection
        protocol.install(settings, worker.metrics.errors)
        return worker.asgi(super().to_asgi(is_main))


worker = Worker(settings)


def _send_spans() -> None:
    """To the exporter of BentoML's configuration, where it names one: BentoML keeps the provider to itself."""
    if BentoMLContainer.tracing.exporter_type.get():
        otel.set_tracer_provider(BentoMLContainer.tracer_provider.get())


def _api(task: Task) -> Any:
    """The task as an ordinary BentoML API: the same pipeline, JSON in and out."""

    async def call(self: Any, **fields: Any) -> Any:
        body = orjson.dumps({name: value for name, value in fields.items() if value is not None})
        headers = {b"content-type": JSON.encode(), b"accept": JSON.encode()}
        try:
            with worker.pipeline.budget.lease() as lease:
                request = Request(body, headers, lease=lease, request_id=request_id(headers))
                answer, _ = await worker.pipeline.answer(task, request, lambda: False)
        except QuartetError as error:
            refusal = BentoMLException(f"{error.field}: {error.detail}" if error.field else error.detail)
            refusal.error_code = HTTPStatus(error.status)
            raise refusal from error
        return task.answer_form.model_validate_json(answer.body)

    call.__name__, call.__doc__ = task.name, task.summary
    return bentoml.api(route=task.path, input_spec=task.request_form, output_spec=task.answer_form)(call)


@bentoml.on_deployment  # type: ignore[untyped-decorator]
def hide_supervisor() -> None:
    """`bentoml serve` calls it before it starts circus, which obeys whoever reaches its two TCP ports, as any user can.

    They become sockets in a folder that other users may not enter. `python -m service serve` has no such thing at all.
    """
    from bentoml._internal.utils import circus  # which a worker does without

    class Hidden(circus.Arbiter):
        def __init__(self, *args: Any, **options: Any) -> None:
            folder = tempfile.mkdtemp(prefix="quartet-circus-")
            options |= {"endpoint": f"ipc://{folder}/orders", "pubsub_endpoint": f"ipc://{folder}/events"}
            super().__init__(*args, **options)
            self.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)

    circus.Arbiter = Hidden  # type: ignore[misc]


members = {task.name: _api(task) for task in BY_PATH.values()}
Apis = type("Apis", (), {**members, "hide_supervisor": hide_supervisor})

service = bentoml.service(
    name="quartet",
    description=f"Quartet {__version__}: classifiers, regressors, denoisers and generators over ONNX Runtime.",
    service_class=LaneService,
    workers=settings.processes,
)(Apis)
