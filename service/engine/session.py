"""The one place that talks to ONNX Runtime: a session, its threads and its execution provider."""

import os
from functools import cache
from pathlib import Path

import numpy as np

from service.bundle import MAIN, Arrays, Bundle, BundleError

# onnxruntime would report its use to its maker; it has to be told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # noqa: E402

# A graph may name files that hold its weights, which no hash pins: they are looked for where there can be none.
EXTERNAL = "External data"
ALL_INSIDE = "its weights lie in another file, save it with all of them inside (save_as_external_data=False): "
LONGEST_REASON = 300  # characters of what ONNX Runtime says
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
SHORT = {CPU: "cpu", CUDA: "cuda"}
ASKED = {"cpu": CPU, "cuda": CUDA, "auto": CUDA}
# TF32 misses golden outputs by its short mantissa, and an exhaustive search for the fastest convolution, the default,
# holds up the first batch of every new shape.
OPTIONS = {CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}


class ProviderError(Exception):
    """The execution provider that the settings demand is not to be had on this machine."""


class Session:
    """A graph ready to run.

    `run` may be called from several threads at once. Inputs and outputs are arrays by tensor name, batch first.
    """

    def __init__(
        self, bundle: Bundle, provider: str, threads: int, graph: str = MAIN, shares_arena: bool = True
    ) -> None:
        """Of one of the bundle's graphs. What it needs while it runs comes from the one arena of all that share it.

        Raises BundleError when the graph does not load or does not fit its manifest, ProviderError when the provider
        that was asked for is not there; for `auto` that is no error.
        """
        path, declared = bundle.graph_file(graph), bundle.manifest.graphs[graph]
        many_shapes = any(not bundle.manifest.axes[axis].buckets for axis in declared.axes)
        providers = providers_of(provider)
        options = _options(threads, many_shapes)
        if shares_arena and providers == [CPU]:
            _share_arena(options)
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(),
                sess_options=options,
                providers=[(name, OPTIONS.get(name, {})) for name in providers],
            )
        except Exception as error:  # ONNX Runtime has an unrelated class for each of its status codes
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            advice = ALL_INSIDE if EXTERNAL in reason else ""
            raise BundleError(f"{path} does not load: {advice}{type(error).__name__}: {reason}") from error
        active = self._session.get_providers()[0]
        if active != providers[0] and provider != "auto":
            raise ProviderError(f"{providers[0]} was asked for and did not start: check its driver and libraries")
        self.provider = SHORT.get(active, active)
        self._run_options = _giving_back() if many_shapes and active == CPU else None
        # Past a layer in Python that checks for each run what does not change.
        self._run = getattr(self._session, "_sess", self._session).run
        self._outputs = [tensor.name for tensor in declared.outputs]
        texts = any(tensor.dtype == "string" for tensor in (*declared.inputs, *declared.outputs))
        self._bound = active == CUDA and not texts  # which no device holds
        self._check_names(path, {tensor.name for tensor in declared.inputs})

    def run(self, inputs: Arrays) -> Arrays:
        if self._bound:
            return self.run_bound(inputs)
        return dict(zip(self._outputs, self._run(self._outputs, inputs, self._run_options), strict=True))

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


def _options(threads: int, many_shapes: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning thread pool burns the cpu quota that the HTTP side needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of the memory saves a microsecond a run, and is kept for every shape with a block of all that it needs.
    options.enable_mem_pattern = not many_shapes
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.log_severity_level = 3
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
