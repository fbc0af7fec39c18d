"""Plain data between two processes: JSON for the structure, raw bytes for arrays and pictures.

Nothing that is read here can run code. Whatever is not plain arrives as an `Other`, which only
knows the name of its type. A frame on the wire is a JSON text and the buffers that it counts.
"""

import json
import math
import socket
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

LIMIT = 256_000_000  # bytes of one message


class Other:
    """Stands for an object that is not plain data; the class has the name of the real one."""


class Broken(Exception):
    """The other process closed the connection, or sent something that is no message."""


def encode(value: object, buffers: list[bytes], depth: int = 0) -> object:
    """A value as JSON; the bytes of arrays, tensors and pictures are added to `buffers`."""
    if depth > 30:
        return {"other": "deeply nested object"}
    if value is None or isinstance(value, bool):
        return value
    if value is ...:
        return {"ellipsis": 0}
    if isinstance(value, str):
        return {"str": str.__str__(value)}
    if isinstance(value, int):
        return {"int": str(int(value))} if abs(int(value)) < 10**4000 else {"other": "int"}
    if isinstance(value, float):
        return {"float": float(value).hex() if math.isfinite(value) else str(float(value))}
    if isinstance(value, complex):
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": _buffer(bytes(value), buffers)}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, buffers)
    if isinstance(value, np.generic):
        return {"scalar": encode(np.asarray(value), buffers)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcSU":
        data = _buffer(np.ascontiguousarray(value).tobytes(), buffers)
        return {"array": [value.dtype.str, list(value.shape), data]}
    if isinstance(value, Image.Image):
        return {"picture": [value.mode, list(value.size), _buffer(value.tobytes(), buffers)]}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item, buffers, depth + 1) for item in list(value)]}
    if isinstance(value, dict):
        pairs = [[encode(k, buffers, depth + 1), encode(v, buffers, depth + 1)]
                 for k, v in list(value.items())]  # fmt: skip
        return {"dict": pairs}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields and type(value).__module__.split(".")[0] == "imagegen":
        data = {name: encode(getattr(value, name), buffers, depth + 1) for name in fields}
        return {"record": [type(value).__module__, type(value).__qualname__, data]}
    return {"other": type(value).__name__}


def decode(data: object, buffers: list[bytes]) -> object:
    """The value that `encode` wrote down. Raises Broken for anything it cannot have written."""
    try:
        return _decode(data, buffers)
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"no plain data: {error}") from None


def _decode(data, buffers):
    if data is None or isinstance(data, bool):
        return data
    ((kind, value),) = data.items()
    if kind == "ellipsis":
        return ...
    if kind == "str":
        return str(value)
    if kind == "int":
        return int(value)
    if kind == "float":
        return float.fromhex(value)
    if kind == "complex":
        return complex(*map(float.fromhex, value))
    if kind == "bytes":
        return buffers[value]
    if kind == "path":
        return Path(value)
    if kind == "range":
        return range(*value)
    if kind == "tensor":
        name, shape, index, grad = value
        kind = getattr(torch, name)
        assert isinstance(kind, torch.dtype)
        if not buffers[index]:
            assert 0 in shape
            return torch.zeros(shape, dtype=kind)
        flat = torch.frombuffer(bytearray(buffers[index]), dtype=torch.uint8)
        found = flat.view(kind).reshape(shape).clone()
        return found.requires_grad_() if grad else found
    if kind == "scalar":
        return _decode(value, buffers)[()]
    if kind == "array":
        name, shape, index = value
        dtype = np.dtype(name)
        assert dtype.kind in "biufcSU"
        return np.frombuffer(buffers[index], dtype).reshape(shape).copy()
    if kind == "picture":
        mode, size, index = value
        return Image.frombytes(mode, tuple(size), buffers[index])
    if kind in ("list", "tuple", "set", "frozenset"):
        make = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
        return make(_decode(item, buffers) for item in value)
    if kind == "dict":
        return {_decode(k, buffers): _decode(v, buffers) for k, v in value}
    if kind == "dtype":
        found = getattr(torch, value)
        assert isinstance(found, torch.dtype)
        return found
    if kind == "record":
        return _record(*value, buffers)
    if kind == "other":
        return type(str(value)[:80], (Other,), {})()
    raise Broken(f"no plain data: {kind}")


def _encode_tensor(value, buffers):
    """A tensor's own numbers; a sparse or empty-of-storage one is moved to a plain one first."""
    value, grad = torch.Tensor.detach(value), bool(value.requires_grad)
    value = value.to_dense() if value.layout != torch.strided else value
    value = value.to("cpu").contiguous().resolve_conj().resolve_neg()
    data = value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
    name = str(value.dtype).removeprefix("torch.")
    return {"tensor": [name, list(value.shape), _buffer(data, buffers), grad]}


def _record(module, name, fields, buffers):
    """An instance of one of the package's own dataclasses, from its fields."""
    assert module.split(".")[0] == "imagegen"
    kind = getattr(sys.modules[module], name)
    assert isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")
    return kind(**{field: _decode(value, buffers) for field, value in fields.items()})


def _buffer(data, buffers):
    buffers.append(data)
    return len(buffers) - 1


def send(connection: socket.socket, message: dict, buffers: list[bytes] | None = None) -> None:
    """Write one frame: the length of the JSON text, the text, and the buffers."""
    buffers = buffers or []
    text = json.dumps(message | {"sizes": [len(b) for b in buffers]}).encode()
    connection.sendall(struct.pack(">I", len(text)) + text)
    for data in buffers:
        connection.sendall(data)


def receive(connection: socket.socket, seconds: float | None = None) -> tuple[dict, list[bytes]]:
    """Read one frame. Raises Broken if there is none, TimeoutError when its time is over.

    seconds: for the whole frame, however slowly its bytes drip; None waits for ever.
    """
    until = None if seconds is None else time.monotonic() + seconds
    (length,) = struct.unpack(">I", _exactly(connection, 4, until))
    if length > LIMIT:
        raise Broken("the message is too long")
    try:
        message = json.loads(_exactly(connection, length, until))
        sizes = message.pop("sizes")
        if any(type(size) is not int or size < 0 for size in sizes) or sum(sizes) > LIMIT:
            raise Broken("the message is too long")
    except (Broken, TimeoutError):
        raise
    except Exception:
        raise Broken("this is no message") from None
    return message, [_exactly(connection, size, until) for size in sizes]


def _exactly(connection, size, until):
    parts, left = [], size
    while left:
        if until is not None:
            connection.settimeout(max(until - time.monotonic(), 0.001))
        try:
            part = connection.recv(min(left, 1 << 20))
        except ConnectionError:
            part = b""
        if not part:
            raise Broken("the process has ended")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
