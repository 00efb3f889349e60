"""Training with nothing but this package: on an accelerator's machine without MLflow or Prefect.

    python -m models.standalone jobs.json --arrays FOLDER --out FOLDER

``jobs.json`` has a list of replicates, `models.spec.ReplicateSpec.to_dict` each; the arrays are a
cache that `models.images.arrays` wrote. Each replicate gets a folder named by its key, with
``model.keras``, ``predictions.npz``, ``result.json`` and ``spec.json``, all or none; those that are
there are not trained again. ``factorgrid search --results FOLDER`` logs them instead of training.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from models.errors import ModelsError
from models.images.arrays import ImageArrays, open_arrays
from models.spec import ReplicateSpec
from models.training.backend import load_keras
from models.training.train import ReplicateResult, fit_replicate, save_result


def train_all(
    specs: Iterable[ReplicateSpec], arrays: ImageArrays, out: Path
) -> Iterator[tuple[ReplicateSpec, ReplicateResult | None, str]]:
    """Train replicates one after the other, and yield each as it ends.

    Parameters
    ----------
    specs : what to train; those whose folder is there already are passed over.
    arrays : the images.
    out : gets a folder a replicate, named by its key.

    Yields
    ------
    The spec, what came out, and in words how it went; a network that cannot be built or trained
    has no result and ends nobody else's training.
    """
    for spec in specs:
        folder = out / spec.key(arrays.version)
        if (folder / "result.json").exists():
            yield spec, None, "there already"
            continue
        partial = out / f".partial-{folder.name}-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            result = fit_replicate(spec, arrays, weights_to=partial / "model.keras")
        except Exception as error:  # noqa: BLE001 # the network is the user's: anything may happen
            shutil.rmtree(partial)
            yield spec, None, f"failed: {type(error).__name__}: {error}".splitlines()[0]
            continue
        save_result(result, partial)
        (partial / "spec.json").write_text(json.dumps(spec.to_dict()), encoding="utf-8")
        partial.rename(folder)
        load_keras().backend.clear_session()
        yield spec, result, _words(result)


def _words(result: ReplicateResult) -> str:
    if result.status != "finished":
        return f"{result.status}: {result.reason}"
    accuracy = result.history[-1]["val_accuracy"]
    return (
        f"accuracy {accuracy:.3f} in {result.train_seconds:.1f} s, "
        f"{result.images_per_second:,.0f} images/s on {result.device} in {result.precision}"
    )


def read_specs(file: Path) -> list[ReplicateSpec]:
    """Read a list of replicates.

    Raises
    ------
    SpecError
        If one is none.
    OSError, ValueError
        If the file cannot be read, or is no JSON.
    """
    return [ReplicateSpec.from_dict(content) for content in json.loads(file.read_bytes())]


def main(words: list[str] | None = None) -> int:
    """Train what the command line says; 0 where all came out, 1 where some failed, 2 on misuse."""
    parser = argparse.ArgumentParser(prog="python -m models.standalone", description=__doc__)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    try:
        specs, arrays = read_specs(asked.jobs), open_arrays(asked.arrays)
    except (OSError, ValueError, ModelsError) as error:
        sys.stderr.write(f"{asked.jobs}: {error}\n")
        return 2
    failed = False
    for number, (spec, _, how) in enumerate(train_all(specs, arrays, asked.out), start=1):
        failed |= how.startswith("failed")
        settings: dict[str, Any] = {**spec.model.settings, "lr": spec.training.learning_rate}
        name = " ".join(f"{key}={value}" for key, value in settings.items())
        sys.stdout.write(f"{number}/{len(specs)} {name} seed={spec.seed}: {how}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
