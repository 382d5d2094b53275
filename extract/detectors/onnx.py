"""Networks in ONNX, with any value of their graph as an output.

Only onnxruntime is needed. A value becomes an output by a few bytes at the end of the file: in protocol
buffers a message that comes in two parts is their union, and so is a graph that is given another output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from store.errors import ConfigError, CorruptError, DataError, UserError, did_you_mean

Tensor = torch.Tensor

GRAPH, NODE, NODE_OUTPUT, GRAPH_OUTPUT, VALUE_NAME = 7, 1, 2, 12, 1
"""Numbers of fields in onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.output, GraphProto.output,
ValueInfoProto.name."""
BYTES = 2
"""The wire type of strings and messages."""


class OnnxNetwork(nn.Module):
    """An ONNX file with one input of images, on the CPU.

    Args:
        layers: names of values in its graph, as Netron shows them; by default its outputs.

    Raises:
        ConfigError: no such value.
        CorruptError: it is no ONNX model, or not one of images.
        UserError: onnxruntime is not installed.
    """

    def __init__(self, file: Path, layers: Sequence[str]) -> None:
        super().__init__()
        self.name = str(file)
        model = file.read_bytes()
        runtime = _runtime()
        session = _session(runtime, model, file)
        outputs = [each.name for each in session.get_outputs()]
        if hidden := [layer for layer in layers if layer not in outputs]:
            known = values(model)
            for layer in hidden:
                if layer not in known:
                    raise ConfigError(f"{file} computes no '{layer}'", did_you_mean(layer, known))
            session = _session(runtime, with_outputs(model, hidden), file)
        if len(session.get_inputs()) != 1:
            names = ", ".join(each.name for each in session.get_inputs())
            raise CorruptError(f"{file} takes {names}, where a backbone takes images alone")
        self.session, self.layers = session, list(layers or outputs)
        self.input, self.single = session.get_inputs()[0].name, session.get_inputs()[0].shape[:1] == [1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """The layers for float32 [B, 3, H, W]; a model of one image at a time sees one at a time.

        Raises:
            DataError: it fails, as a model of one size does on another.
        """
        parts = images.split(1) if self.single else (images,)
        found = [self._run(part) for part in parts]
        return [torch.cat(each).to(images.device) for each in zip(*found, strict=True)]

    def _run(self, images: Tensor) -> list[Tensor]:
        try:
            found = self.session.run(self.layers, {self.input: images.cpu().numpy()})
        except _faults() as error:
            why = " ".join(str(error).split())[:300]
            raise DataError(
                f"{self.name} fails on images {tuple(images.shape)}: {why}",
                "a model exported for one size needs a recipe that makes all images so",
            ) from error
        return [torch.from_numpy(each) for each in found]


def values(model: bytes) -> list[str]:
    """Names of all that the nodes of a model compute.

    Raises:
        CorruptError: the bytes are no ONNX model.
    """
    return [
        name.decode("utf-8")
        for graph in _fields(model, GRAPH)
        for node in _fields(graph, NODE)
        for name in _fields(node, NODE_OUTPUT)
    ]


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model with more outputs."""
    added = b"".join(_field(GRAPH_OUTPUT, _field(VALUE_NAME, name.encode())) for name in names)
    return model + _field(GRAPH, added)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of one field of a message, which are bytes."""
    at = 0
    while at < len(message):
        tag, at = _read(message, at)
        kind = tag & 7
        if kind == BYTES:
            size, at = _read(message, at)
            if tag >> 3 == wanted:
                yield message[at : at + size]
            at += size
        elif kind == 0:
            _, at = _read(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise CorruptError("the file is no ONNX model")


def _read(message: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    for byte in message[at : at + 10]:
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at
    raise CorruptError("the file is no ONNX model")


def _runtime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise UserError("an .onnx file needs onnxruntime", "pip install onnxruntime") from error


def _faults() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: classes of its own, each derived from Exception alone, beside Python's."""
    state = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state"))
    own = [each for each in state.values() if isinstance(each, type) and issubclass(each, Exception)]
    return (*own, RuntimeError, ValueError)


def _session(runtime: Any, model: bytes, file: Path) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums do not depend on the machine
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _faults() as error:
        why = " ".join(str(error).split())[:300]
        raise CorruptError(f"{file}: no ONNX model that can be run: {why}") from error
