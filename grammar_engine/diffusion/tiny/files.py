"""The tiny model's files: weights as float16 with the network's shape beside them, and tokenizer.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from grammar_engine.diffusion.tiny.network import NetworkShape, TinyNetwork
from grammar_engine.errors import ModelUnavailableError

FOLDER = Path(__file__).parent / "weights"
"""Where the files that come with the package are."""
TOKENIZER = "tokenizer.json"
_WEIGHTS = "model.safetensors"


def save(network: TinyNetwork, folder: Path) -> int:
    """Write the weights as float16. Returns the size of the file in bytes."""
    halves = {name: weight.detach().half().contiguous() for name, weight in network.state_dict().items()}
    save_file(halves, folder / _WEIGHTS, metadata={"shape": json.dumps(asdict(network.shape))})
    return (folder / _WEIGHTS).stat().st_size


def load(folder: Path) -> TinyNetwork:
    """The network of a folder in evaluation mode, as float32: on a CPU halves save nothing at this size.

    Raises:
        ModelUnavailableError: the files are absent or damaged.
    """
    try:
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            shape = NetworkShape(**json.loads(file.metadata()["shape"]))
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(
            "tiny-dlm", f"its weights in {folder} cannot be read ({error})", advice="Run: make train-tiny-dlm"
        ) from error
    network = TinyNetwork(shape)
    network.load_state_dict(weights)
    network.eval()
    return network
