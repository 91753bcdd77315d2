"""Arrays and tensors of sizes that nobody needs, in `.npy` and by the Open Inference Protocol."""

import json
import random
import struct
from math import prod

from load_tests.bodies import JSON, NPY
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import ACTIVATIONS, CLASSIFY, DENOISE, GENERATE, IMAGES
from load_tests.hostile.shot import Shot

KINDS = ("|u1", "<f4", ">f8", "<f2", "|b1", "<i8", ">u2", "<f16", "<c8", "|O", "<U9", "|V8", "<M8[s]", "|S0", "<u4")
SIZES = {"|u1": 1, "<f4": 4, ">f8": 8, "<f2": 2, "|b1": 1, "<i8": 8, ">u2": 2, "<f16": 16, "<u4": 4}
SIDES = (0, 1, 2, 16, 28, 512, 1024, 4096, 2**31, 2**40 - 1, -1)
MODELS = {
    "toy-tensors": ("x", "k"),
    "ct-denoiser": ("hu",),
    "digits": ("image",),
    "cvae": ("latent", "label"),
    "credit-logistic": ("applicant",),
}
DTYPES = {"FP32": "f", "FP64": "d", "INT64": "q", "INT32": "i", "UINT8": "B", "BOOL": "?", "FP16": "e"}
MOST = 2**23


def _npy(header: bytes, data: bytes) -> bytes:
    wide = len(header) > 65_000
    size = struct.pack("<I" if wide else "<H", len(header))
    return b"\x93NUMPY" + (b"\x02\0" if wide else b"\x01\0") + size + header + data


def headers(chance: random.Random) -> Shot:
    """`.npy` headers that are long, deep, or no literal that anybody would write."""
    times = amount(chance, 60_000)
    shapes = (
        lambda: "(" * (times // 8) + "1" + ")" * (times // 8),
        lambda: f"({'1,' * (times // 2)})",
        lambda: f"({'-' * times}1,)",
        lambda: f"({'9' * times},)",
        lambda: f"({'1099511627775,' * (times // 14 + 1)})",
        lambda: f"({chance.choice(('True', 'None', '1.0', '0x10', 'b1', '1j', '1_0', '...'))},28,28)",
        lambda: f"({'0,' * 40}{'1099511627775,' * 40})",
        lambda: "[" * times,
        lambda: f"(0,{2**40 - 1})",
        lambda: f"({'1+' * times}1,)",
    )
    kind = chance.choice((*KINDS[:4], "|u1" + " " * times, f"({times},)u1", "u1,u1", f"<f{'9' * times}"))
    fortran = chance.choice(("False", "True", "1", "'x'", "0"))
    header = f"{{'descr':'{kind}','fortran_order':{fortran},'shape':{chance.choice(shapes)()}}}\n"
    return parcel(chance, chance.choice((CLASSIFY, DENOISE, IMAGES)), _npy(header.encode(), bytes(784)), NPY)


def arrays(chance: random.Random) -> Shot:
    """Sound arrays of any kind and shape, up to some megabytes."""
    kind = chance.choice(list(SIZES))
    shape = [amount(chance, chance.choice((4, 64, 3000))) for _ in range(chance.choice((1, 2, 3, 3, 4)))]
    if chance.random() < 0.2:
        shape.insert(chance.randrange(len(shape)), 0)
    while prod(shape) * SIZES[kind] > MOST:
        shape.remove(max(shape))
    header = repr({"descr": kind, "fortran_order": chance.random() < 0.3, "shape": tuple(shape)}).encode()
    path = chance.choice((CLASSIFY, DENOISE, DENOISE, IMAGES, ACTIVATIONS))
    body, accept = _npy(header + b"\n", bytes(prod(shape) * SIZES[kind])), chance.choice(("", NPY, JSON))
    return parcel(chance, path, body, NPY, chance.choice((b"", b"explain=true")), accept)


def binary(chance: random.Random) -> Shot:
    """Tensors as raw bytes: of any shape, of the size they say or of another."""
    model = chance.choice(list(MODELS))
    data, described = b"", []
    for name in MODELS[model] * chance.choice((1, 1, 1, 200)):
        dtype = chance.choice(list(DTYPES))
        shape = [chance.choice(SIDES) for _ in range(chance.choice((1, 2, 3)))]
        if chance.random() < 0.6:
            shape = [1, amount(chance, 3000), amount(chance, 700)]
        size = struct.calcsize(DTYPES[dtype]) * prod(shape)
        piece = bytes(size) if 0 <= size <= MOST and len(data) < MOST else bytes(amount(chance, 1000))
        parameters = {"binary_data_size": chance.choice((len(piece), len(piece), 0, 2**40, -1))}
        described.append({"name": name, "datatype": dtype, "shape": shape, "parameters": parameters})
        data += piece
    document: dict[str, object] = {"inputs": described}
    if chance.random() < 0.5:
        document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    shot = parcel(chance, f"/v2/models/{model}/infer", head + data, "application/octet-stream")
    length = chance.choice((len(head),) * 8 + (0, len(head) + len(data), 2**40))
    return shot._replace(headers=shot.headers | {b"inference-header-content-length": b"%d" % length})


def numbers(chance: random.Random) -> Shot:
    """The same in JSON: few bytes on the wire, once compressed, and many numbers."""
    model = chance.choice(list(MODELS))
    shape = [1, amount(chance, 3000), amount(chance, 1500)]
    flat = b",".join([chance.choice((b"0", b"0.5", b"1e-9"))] * (shape[1] * shape[2]))
    name = chance.choice(MODELS[model]).encode()
    if chance.random() < 0.5:
        form = b'{"inputs":[{"name":"%s","datatype":"FP32","shape":%s,"data":[%s]}]}'
        return parcel(chance, f"/v2/models/{model}/infer", form % (name, repr(shape).encode(), flat), JSON)
    row = b"[" + flat[: len(flat) // shape[1]].rstrip(b",.e-") + b"]"
    rows = b"[[" + b",".join([row] * shape[1]) + b"]]"
    return parcel(chance, f"/v1/models/{model}/predict", b'{"inputs":{"%s":%s}}' % (name, rows), JSON)


def wishes(chance: random.Random) -> Shot:
    """Samples: as many, from as many latents, with as many labels as fit."""
    most = amount(chance, 400_000)
    wish = chance.choice(
        (
            {"count": most},
            {"labels": [1] * most},
            {"labels": ["1"] * most, "count": most},
            {"latents": [[0.5] * chance.choice((1, 4, 64))] * (most // 16 + 1)},
            {"seed": 10 ** (most // 100)},
            {"count": 256, "label": "1" * most},
        )
    )
    return parcel(chance, GENERATE, _json(wish), JSON, accept=chance.choice((NPY, JSON, "image/png")))


def _json(wish: object) -> bytes:
    try:
        return json.dumps(wish).encode()
    except ValueError:  # Python refuses to write a number of so many digits
        return b'{"seed":%s}' % (b"9" * 5000)


BOMBS = (headers, arrays, binary, numbers, wishes)
