"""Writing the file of a new study for a folder of images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.networks.build_network import NETWORK_NAMES
from tasks.study.study_file import Study

#: Image sizes in pixels that are proposed, and the most images for each; more get the smallest.
SIZES = ((128, 2_000), (64, 20_000), (32, 10**9))

TEMPLATE = """\
# A study of FactorGrid. Run it with: factorgrid search {file}
# What it will do, before it does it:  factorgrid plan {file}
name = {name}
budget = 20                  # trainings of the whole search; or: minutes = 60
# final_epochs = 24          # train the chosen network once more, for longer, at the end

# {classes}
[data]
source = {source}
image_size = {image_size}              # pixels per side
# per_class = 500            # use a sample of each class

# Factors: what may vary. Low and high are the ends of what may be tried; make the ranges wide.
[factors.learning_rate]      # on a log scale by default
low = 0.0001
high = 0.1

[factors.conv_layers]        # each one halves the size of the image
low = 2
high = {most_layers}

[factors.fc_layers]
low = 1
high = 3

# [factors.optimizer]        # categories: two or more, the first is the reference
# values = ["adam", "sgd", "rmsprop"]

[model]                      # settings of the network that stay fixed
filters = 32
dropout = 0.2

[training]                   # settings of the training that stay fixed
epochs = 8
batch_size = 64
"""


def new_study_toml(file: Path, name: str, source: Path, classes: Mapping[str, int]) -> str:
    """Return the commented file of a study of some images.

    Parameters
    ----------
    file : where it will be; its folder is that of relative paths in it.
    name : of the study.
    source : the images.
    classes : class -> its images.
    """
    images = sum(classes.values())
    size = next(size for size, most in SIZES if images <= most)
    listed = ", ".join(f"{label} ({count:,})" for label, count in list(classes.items())[:10])
    more = f", and {len(classes) - 10:,} more" if len(classes) > 10 else ""  # noqa: PLR2004 # named
    return TEMPLATE.format(
        file=file.name,
        name=json.dumps(name, ensure_ascii=False),
        classes=f"{images:,} images of {len(classes):,} classes: {listed}{more}".replace("\n", " "),
        source=json.dumps(str(source), ensure_ascii=False),
        image_size=size,
        most_layers=min(6, size.bit_length() - 2),
    )


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of study files, for editors that check and complete TOML."""
    schema = Study.model_json_schema()
    # Only here: the key is read, and not stored. A network of one's own may have such a setting.
    schema["$defs"]["ModelPart"]["properties"]["network"] = {
        "title": "Network",
        "description": "The name of a built-in network; or builder names your own.",
        "anyOf": [{"enum": sorted(NETWORK_NAMES)}, {}],
    }
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study of FactorGrid",
    }
    return {**about, **{key: value for key, value in schema.items() if key != "title"}}
