"""Operators, constants and stored weights become an ONNX model.

Weights stand inside the graph, or stay in a safetensors file beside it and the graph names their place
there, so that a model folder holds them once. The same input gives the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 17
# the first version of the file format that knows opset 17, so the most runtimes read it
IR_VERSION = 8


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor's place in a safetensors file.

    Args:
        shape: Lengths of its axes.
        offset: First byte, from the start of the file.
        length: Bytes.
    """

    shape: tuple[int, ...]
    offset: int
    length: int


def stored_tensors(weights: bytes) -> dict[str, StoredTensor]:
    """Places of the float32 tensors of a safetensors file.

    Args:
        weights: The whole file.

    Source:
        The safetensors format: 8 bytes little-endian length of the header, a JSON header whose offsets count from
        its end, the data.
    """
    size = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + size])
    return {
        name: StoredTensor(
            shape=tuple(entry["shape"]),
            offset=8 + size + entry["data_offsets"][0],
            length=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


class GraphBuilder:
    """Collects the nodes and constants of a graph.

    Args:
        weights: A whole safetensors file.
        location: Name of that file beside the graph, to refer to it; None copies the weights into the graph.
    """

    def __init__(self, weights: bytes, *, location: str | None = None) -> None:
        self._weights = weights
        self._location = location
        self._stored = stored_tensors(weights)
        self._nodes: list[NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def node(
        self, operator: str, *inputs: str, output: str | None = None, unused: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Add one operator.

        Args:
            operator: Its ONNX name.
            inputs: Names of values.
            output: Name of its result; None makes one up.
            unused: Names for further results that the operator has and nobody reads.
            attributes: By their ONNX names.

        Returns:
            Name of its result.
        """
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name, *unused], **attributes))
        return name

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add numbers of the graph's own, float32 or int64; equal ones are stored once."""
        array = np.ascontiguousarray(values, dtype=dtype)
        for name, tensor in self._initializers.items():
            if name.startswith("constant_") and _equal(tensor, array):
                return name
        name = f"constant_{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str) -> str:
        """Add a tensor of the safetensors file."""
        stored = self._stored[name]
        if self._location is None:
            data = np.frombuffer(self._weights, np.float32, stored.length // 4, stored.offset)
            tensor = numpy_helper.from_array(data.reshape(stored.shape), name)
        else:
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=stored.shape)
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": self._location, "offset": str(stored.offset), "length": str(stored.length)}
            tensor.external_data.extend(StringStringEntryProto(key=key, value=value) for key, value in place.items())
        self._initializers[name] = tensor
        return name

    def model(
        self,
        name: str,
        *,
        inputs: Mapping[str, tuple[int | str, ...]],
        outputs: Mapping[str, tuple[int | str, ...]],
    ) -> ModelProto:
        """The finished model.

        Args:
            name: Of the graph.
            inputs: Shape of each input; a word stands for a length that is free.
            outputs: Shape of each output.
        """
        graph = helper.make_graph(
            self._nodes, name, _values(inputs), _values(outputs), list(self._initializers.values())
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="compact"
        )


def _equal(tensor: TensorProto, array: npt.NDArray[Any]) -> bool:
    kept = numpy_helper.to_array(tensor)
    return kept.dtype == array.dtype and kept.shape == array.shape and kept.tobytes() == array.tobytes()


def _values(shapes: Mapping[str, tuple[int | str, ...]]) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
