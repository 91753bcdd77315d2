"""A device whose tensors are kept apart as a GPU's are, but lie in main memory, where the CPU computes with them.

On it runs what would run on a GPU, and what would fail there for mixing tensors of two devices fails here.
"""

from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

APART = "apart"
MOVES = {"_to_copy", "copy_"}
TAKES_INDICES_FROM_ANYWHERE = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}

# The lengths of sequences, and how many of them there are at each step, are always in main memory.
PACKS = "_pack_padded_sequence"
TAKES_LENGTHS_FROM_MEMORY = {PACKS, f"{PACKS}_backward"}


class Backend:
    """What PyTorch asks of the module of a device."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are drawn by the CPU's generator, which has its seed."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class There(Tensor):
    """A tensor on the device, and the one in main memory that it stands for."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        there = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(APART, 0),
            requires_grad=held.requires_grad,
        )
        there.held = held
        return there  # type: ignore[no-any-return]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Apart(TorchDispatchMode):
    """Within it, tensors can be made on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result of an operation, on the device if its tensors are, or if it is to be made there."""
    name = func.overloadpacket.__name__
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    if there and name not in MOVES | TAKES_INDICES_FROM_ANYWHERE | TAKES_LENGTHS_FROM_MEMORY:
        # Numbers, which are tensors without a dimension, go anywhere.
        strangers = [tensor for tensor in tensors if tensor.dim() and not isinstance(tensor, There)]
        assert not strangers, f"{func} of tensors here and there: {[tuple(tensor.shape) for tensor in tensors]}"
    target = kwargs.get("device")
    if target is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    goes_there = bool(there) if target is None else torch.device(target).type == APART
    if name == "copy_":
        goes_there = isinstance(args[0], There)
    given = {id(tensor.held if isinstance(tensor, There) else tensor): tensor for tensor in tensors}
    held_args, held_kwargs = tree_map(lambda value: value.held if isinstance(value, There) else value, (args, kwargs))

    def placed(value: Any) -> Any:
        new = isinstance(value, Tensor) and id(value) not in given
        return There(value) if new and goes_there else given.get(id(value), value)

    result = func(*held_args, **held_kwargs)
    if name == PACKS:
        packed, counts = result
        return placed(packed), counts
    return tree_map(placed, result)


_setup_privateuseone_for_python_backend(APART, backend_module=Backend())
_automatic_precision = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")  # none: all stays float32
_automatic_precision.fallback(torch.library.fallthrough_kernel)


# `torch.tensor` goes past every mode.
@torch.library.impl("aten::empty_strided", "PrivateUse1")
def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> There:
    return There(torch.empty_strided(size, stride, dtype=dtype))


@torch.library.impl("aten::_copy_from", "PrivateUse1")
def _copy_from(source: Tensor, target: There, non_blocking: bool = False) -> There:
    target.held.copy_(source)
    return target
