"""Write models of real sizes that take no room: headers of true shapes, and data that is a hole in the file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from llama import Llama, write_config

LLAMA_8B = Llama(layers=32, hidden=4096, intermediate=14336, vocab=128256, heads=32, kv_heads=8)


def write_sparse(folder: Path, model: Llama) -> Path:
    """Write a bfloat16 model whose data is one hole; return its folder."""
    folder.mkdir(parents=True)
    header, end = {}, 0
    for name, shape in model.shapes().items():
        begin, end = end, end + model.nbytes(name)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    write_config(folder, model)
    return folder
