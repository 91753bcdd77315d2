"""The endpoint of CT slices. `ct.py` is made of this file by `python make_sync.py`; change it here."""

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Unpack, overload

from quartet_client import bodies
from quartet_client.async_base import AsyncEndpoint
from quartet_client.bodies import FilePath, Slice
from quartet_client.call import PNG, PreviewOptions, SliceOptions, call, content

if TYPE_CHECKING:
    import numpy as np
    import pydicom
    from numpy.typing import NDArray


class AsyncCtEndpoint(AsyncEndpoint):
    @overload
    async def denoise(self, slice: "pydicom.Dataset", **options: Unpack[SliceOptions]) -> "pydicom.Dataset": ...
    @overload
    async def denoise(self, slice: "NDArray[np.generic]", **options: Unpack[SliceOptions]) -> "NDArray[np.generic]": ...
    @overload
    async def denoise(self, slice: FilePath | bytes, **options: Unpack[SliceOptions]) -> bytes: ...
    async def denoise(self, slice: Slice, **options: Unpack[SliceOptions]) -> Any:
        """Reduce the noise of a slice; the answer has the form of the question.

        A pydicom data set, a DICOM file or its bytes; or Hounsfield units [H, W] or [N, H, W], which need `spacing_mm`,
        the size of their pixels.
        """
        body = bodies.ct_slice(slice)
        media = body["headers"]["content-type"]
        read = bodies.data_set if hasattr(slice, "save_as") else bodies.array if hasattr(slice, "__array__") else bytes
        asked = call("/v1/ct/denoise", lambda got: read(got.content), options, accept=media, **body)
        return await self._client.send(asked)

    async def denoise_series(
        self, slices: "Iterable[pydicom.Dataset]", **options: Unpack[SliceOptions]
    ) -> "AsyncIterator[pydicom.Dataset]":
        """Slice by slice, so that a series never has to fit into memory. They come back as one new series."""
        for one in slices:
            yield await self.denoise(one, **options)

    async def preview(self, slice: Slice, **options: Unpack[PreviewOptions]) -> bytes:
        """The denoised slice as a PNG picture."""
        body = bodies.ct_slice(slice)
        return await self._client.send(call("/v1/ct/denoise", content, options, accept=PNG, **body))
