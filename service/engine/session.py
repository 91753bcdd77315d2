"""The one place that talks to ONNX Runtime: a session, its threads and its execution provider."""

import logging
import os
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import MAIN, SINGLE, Arrays, Bundle, BundleError, Graph
from service.engine.device import DEVICE

# onnxruntime would report its use to its maker; it has to be told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # noqa: E402

# A graph may name files that hold its weights. But for the main graph's no hash pins them: they are looked for where
# there can be none.
EXTERNAL = "External data"
ALL_INSIDE = "its weights lie in another file, save it with all of them inside (save_as_external_data=False): "
LONGEST_REASON = 300  # characters of what ONNX Runtime says
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
SHORT = {CPU: "cpu", CUDA: "cuda"}
ASKED = {"cpu": CPU, "cuda": CUDA, "auto": CUDA}
# TF32 misses golden outputs by its short mantissa, and an exhaustive search for the fastest convolution, the default,
# holds up the first batch of every new shape.
OPTIONS = {CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}
TF32 = "tf32"
CAPTURED = {"enable_cuda_graph": "1"}
# The least that ONNX Runtime tells, by the level of our log. Its own INFO has a line for every step of a graph's
# optimisation.
SEVERITIES = {logging.DEBUG: 1, logging.INFO: 2, logging.WARNING: 2, logging.ERROR: 3, logging.CRITICAL: 4}
RUNS = 3  # until ONNX Runtime has captured a shape

log = logging.getLogger(__name__)


class ProviderError(Exception):
    """The execution provider that the settings demand is not to be had on this machine."""


class Session:
    """A graph ready to run.

    `run` may be called from several threads at once. Inputs and outputs are arrays by tensor name, batch first.
    """

    def __init__(
        self,
        bundle: Bundle,
        provider: str,
        threads: int,
        graph: str = MAIN,
        shares_arena: bool = True,
        gpu_memory: int = 0,
        precision: str = SINGLE,
    ) -> None:
        """Of one of the bundle's graphs, in a precision that the bundle has measured.

        What it needs while it runs comes from the one arena of all that share it.

        On a GPU it takes at most `gpu_memory` bytes there; 0: as much as there is. Raises BundleError when the graph
        does not load or does not fit its manifest, ProviderError when the provider that was asked for is not there; for
        `auto` that is no error.
        """
        path, self._graph = bundle.file_in(graph, precision), bundle.manifest.graphs[graph]
        self.many_shapes = any(not bundle.manifest.axes[axis].buckets for axis in self._graph.axes)
        providers = providers_of(provider)
        options = _options(threads, self.many_shapes)
        if shares_arena and providers == [CPU]:
            _share_arena(options)
        lent = _lend_weights(options, path, bundle.graph)  # until the session is there
        of_cuda = {"gpu_mem_limit": str(gpu_memory)} if gpu_memory else {}
        if precision == TF32:
            of_cuda |= {"use_tf32": "1"}
        texts = any(tensor.dtype == "string" for tensor in (*self._graph.inputs, *self._graph.outputs))
        self.captures = providers[0] == CUDA and not texts and not self.many_shapes
        try:
            self._session = _open(path, options, providers, of_cuda | CAPTURED if self.captures else of_cuda)
        except BundleError:
            if not self.captures:
                raise
            self.captures = False  # there is control flow in it, or something that only the CPU can do
            self._session = _open(path, options, providers, of_cuda)
        del lent
        active = self._session.get_providers()[0]
        if active != providers[0] and provider != "auto":
            raise ProviderError(f"{providers[0]} was asked for and did not start: check its driver and libraries")
        self.provider = SHORT.get(active, active)
        self.precision = precision if precision != TF32 or active == CUDA else SINGLE
        self._run_options = _giving_back() if self.many_shapes and active == CPU else None
        # Past a layer in Python that checks for each run what does not change.
        self._run = getattr(self._session, "_sess", self._session).run
        self._outputs = [tensor.name for tensor in self._graph.outputs]
        self.on_device = active == CUDA and not texts  # which no device holds
        self._shapes: dict[tuple[tuple[int, ...], ...], Buffers] = {}
        self._check_names(path, {tensor.name for tensor in self._graph.inputs})

    def run(self, inputs: Arrays) -> Arrays:
        """On a GPU it raises DeviceMemoryFull and DeviceLost."""
        if not self.on_device:
            return dict(zip(self._outputs, self._run(self._outputs, inputs, self._run_options), strict=True))
        if self.many_shapes:
            return DEVICE.run(partial(self.run_bound, inputs))
        shapes = tuple(array.shape for array in inputs.values())
        if shapes not in self._shapes:
            DEVICE.capture(partial(self._prepare, shapes, inputs))
        return DEVICE.run(partial(self._shapes[shapes].run, inputs))

    def _prepare(self, shapes: tuple[tuple[int, ...], ...], inputs: Arrays) -> None:
        buffers = self.buffers(inputs)
        for _ in range(RUNS):
            buffers.run(inputs)
        self._shapes[shapes] = buffers

    def buffers(self, inputs: Arrays) -> "Buffers":
        """Memory of the device for inputs of these shapes and what becomes of them."""
        number = len(self._shapes) if self.captures else None
        return Buffers(self._session, self.provider, inputs, self._graph, number, _pinned())

    def run_bound(self, inputs: Arrays) -> Arrays:
        """Through an IO binding: one copy to the device and one back, none in between."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._outputs:
            binding.bind_output(name, self.provider)
        self._session.run_with_iobinding(binding)
        return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))

    def _check_names(self, graph: Path, declared: set[str]) -> None:
        if (actual := {tensor.name for tensor in self._session.get_inputs()}) != declared:
            raise BundleError(f"{graph} takes {sorted(actual)}, its manifest says {sorted(declared)}")
        if missing := set(self._outputs) - {tensor.name for tensor in self._session.get_outputs()}:
            raise BundleError(f"{graph} does not give {sorted(missing)}, its manifest says so")


class Buffers:
    """The memory that inputs of one shape are copied to, over and over, and outputs from.

    On the device, for a captured graph knows its addresses, and for inputs also on the host, in pages that stay where
    they are: from others the driver copies twice. For one thread at a time.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        device: str,
        inputs: Arrays,
        graph: Graph,
        number: int | None,
        pinned: onnxruntime.OrtMemoryInfo | None = None,
    ) -> None:
        """`number` is that of the captured graph; None: none is captured. `pinned` is what host memory to take."""
        self._session, self._binding, self._options = session, session.io_binding(), onnxruntime.RunOptions()
        if number is not None:
            self._options.add_run_config_entry("gpu_graph_id", str(number))
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.array(array, order="C"), device, 0)
            for name, array in inputs.items()
        }
        self._outputs = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, 0)
            for name, (shape, dtype) in _given(graph, inputs).items()
        }
        self.staged = {name: _pages(array, pinned) for name, array in inputs.items()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, inputs: Arrays) -> Arrays:
        for name, value in self._inputs.items():
            np.copyto(self.staged[name], inputs[name])
            value.update_inplace(self.staged[name])
        self._session.run_with_iobinding(self._binding, self._options)
        found = {name: value.numpy() for name, value in self._outputs.items()}
        # From a device it is a copy already, here it may be the buffer itself.
        return {name: array if array.flags.owndata else array.copy() for name, array in found.items()}


def _pages(array: NDArray[Any], pinned: onnxruntime.OrtMemoryInfo | None) -> NDArray[Any]:
    """An array like this one, in such memory where it can be had."""
    if pinned is not None:
        try:
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(array.shape, array.dtype.type, memory_info=pinned)
            view: NDArray[Any] = value.numpy()  # it keeps the memory
            if view.ctypes.data == value.data_ptr() and view.flags.writeable:
                return view
        except RuntimeError as error:
            log.info("no pinned memory for a buffer of %d bytes: %s", array.nbytes, error)
    return np.empty(array.shape, array.dtype)


@cache
def _pinned() -> onnxruntime.OrtMemoryInfo | None:
    """Memory of the host that the GPU reads without help."""
    devices = (one for one in onnxruntime.get_ep_devices() if one.ep_name == CUDA)
    return next((one.memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE) for one in devices), None)


def _given(graph: Graph, inputs: Arrays) -> Mapping[str, tuple[list[int], type[np.generic]]]:
    """Shape and type of what the graph gives for such inputs."""
    sides: dict[int | str, int] = {}
    for tensor in graph.inputs:
        sides |= dict(zip(tensor.shape, inputs[tensor.name].shape, strict=True))
    return {
        tensor.name: (
            [side if isinstance(side, int) else sides[side] for side in tensor.shape],
            np.dtype(tensor.dtype).type,
        )
        for tensor in graph.outputs
    }


def _open(
    path: Path, options: onnxruntime.SessionOptions, providers: list[str], more: Mapping[str, str]
) -> onnxruntime.InferenceSession:
    """`more` are options of CUDA. Raises BundleError."""
    of_provider = {CUDA: {**OPTIONS[CUDA], **more}}
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes(),
            sess_options=options,
            providers=[(name, of_provider.get(name, {})) for name in providers],
        )
    except Exception as error:  # ONNX Runtime has an unrelated class for each of its status codes
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        advice = ALL_INSIDE if EXTERNAL in reason else ""
        raise BundleError(f"{path} does not load: {advice}{type(error).__name__}: {reason}") from error


def _lend_weights(options: onnxruntime.SessionOptions, path: Path, main: Path) -> bytes:
    """The main graph's file to a graph beside it, whose weights may lie there."""
    if path == main or main.name.encode() not in path.read_bytes():
        return b""
    content = main.read_bytes()
    options.add_external_initializers_from_files_in_memory([main.name], [content], [len(content)])
    return content


def _options(threads: int, many_shapes: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning thread pool burns the cpu quota that the HTTP side needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of the memory saves a microsecond a run, and is kept for every shape with a block of all that it needs.
    options.enable_mem_pattern = not many_shapes
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.log_severity_level = next((SEVERITIES[level] for level in SEVERITIES if log.isEnabledFor(level)), 4)
    return options


def _share_arena(options: onnxruntime.SessionOptions) -> None:
    """For what lives as long as a run. Weights are allocated apart, and go with their session."""
    _make_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")


@cache
def _make_arena() -> None:
    """Once for the whole process."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({}))


def _giving_back() -> onnxruntime.RunOptions:
    """What a run took goes back: its arena would keep as much as the largest item of all ever needed."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def providers_of(asked: str) -> list[str]:
    """What to try, in order: the CPU takes what another provider has no kernel for. Raises ProviderError."""
    wanted = ASKED.get(asked, asked)
    if wanted in onnxruntime.get_available_providers():
        return list(dict.fromkeys([wanted, CPU]))
    if asked == "auto":
        return [CPU]
    package = "onnxruntime-gpu" if wanted == CUDA else "the onnxruntime that has it"
    raise ProviderError(f"{wanted} was asked for, this onnxruntime has none: install {package}")


def provider_of(asked: str) -> str:
    """What sessions are expected to run on, in short. Raises ProviderError."""
    first = providers_of(asked)[0]
    return SHORT.get(first, first)
