"""Training with only this package: on a machine with an accelerator but without MLflow or Prefect.

    python -m models.standalone jobs.json --arrays FOLDER --out FOLDER

``jobs.json`` has a list of replicates, each as `models.spec.ReplicateSpec.to_dict` writes it. The
arrays are a cache that `models.images.arrays` wrote. Each replicate gets one folder, named by its
key, with ``model.keras``, ``predictions.npz``, ``result.json`` and ``spec.json``: all of them or
none. A replicate that has its folder already is not trained again. `factorgrid search --elsewhere
FOLDER` writes the jobs and the arrays, and logs the results instead of training.
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
from models.training.result import ReplicateResult, save_result
from models.training.train import fit_replicate


def train_all(
    specs: Iterable[ReplicateSpec],
    arrays: ImageArrays,
    out: Path,
    arrays_folder: Path | None = None,
) -> Iterator[tuple[ReplicateSpec, ReplicateResult | None, str]]:
    """Train replicates one after the other, and yield each one when it ends.

    Parameters
    ----------
    specs : what to train; a replicate whose folder exists already is skipped.
    arrays : the images.
    out : gets one folder per replicate, named by its key.
    arrays_folder : the cache of the images; see `fit_replicate`.

    Yields
    ------
    The spec, its result, and a summary as text. The result is None if the replicate was skipped,
    or if its network could not be built or trained; the other replicates are still trained.
    """
    for spec in specs:
        folder = out / spec.key(arrays.version)
        if (folder / "result.json").exists():
            yield spec, None, "trained already"
            continue
        partial = out / f".partial-{folder.name}-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            result = fit_replicate(
                spec, arrays, weights_to=partial / "model.keras", arrays_folder=arrays_folder
            )
        except Exception as error:  # noqa: BLE001 # the network may be the user's own: any error is possible
            shutil.rmtree(partial)
            yield spec, None, f"failed: {type(error).__name__}: {error}".splitlines()[0]
            continue
        save_result(result, partial)
        (partial / "spec.json").write_text(json.dumps(spec.to_dict()), encoding="utf-8")
        partial.rename(folder)
        load_keras().backend.clear_session()
        yield spec, result, _result_as_text(result)


def _result_as_text(result: ReplicateResult) -> str:
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
        If an entry is not the spec of a replicate.
    OSError, ValueError
        If the file cannot be read, or is not JSON.
    """
    return [ReplicateSpec.from_dict(content) for content in json.loads(file.read_bytes())]


def main(arguments: list[str] | None = None) -> int:
    """Train the jobs that the command line names.

    Returns
    -------
    The exit status: 0 if no replicate failed, 1 if some failed, 2 if the jobs or the arrays cannot
    be read.
    """
    parser = argparse.ArgumentParser(prog="python -m models.standalone", description=__doc__)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        specs, arrays = read_specs(options.jobs), open_arrays(options.arrays)
    except (OSError, ValueError, ModelsError) as error:
        sys.stderr.write(f"{options.jobs}: {error}\n")
        return 2
    failed = False
    for number, (spec, _, summary) in enumerate(
        train_all(specs, arrays, options.out, options.arrays.absolute()), start=1
    ):
        failed |= summary.startswith("failed")
        settings: dict[str, Any] = {**spec.model.settings, "lr": spec.training.learning_rate}
        name = " ".join(f"{key}={value}" for key, value in settings.items())
        sys.stdout.write(f"{number}/{len(specs)} {name} seed={spec.seed}: {summary}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
