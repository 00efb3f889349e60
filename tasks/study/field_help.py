"""What each key of a study file is, in one sentence: for Prefect's forms, and for editors."""

from typing import Any

#: Class of the table -> key -> what it is.
HELP: dict[str, dict[str, str]] = {
    "Study": {
        "name": "Name of the study, of its experiment in MLflow and of its model.",
        "description": "What the study is for; shown in the report.",
        "response": "What is compared: the accuracy on the validation images.",
        "method": "How cells are chosen: within a budget, or by the published procedure.",
        "budget": "Trainings of the whole search. Give this or minutes.",
        "minutes": "Minutes that the search may take. Give this or budget.",
        "short_trainings": "Whether half of the budget is spent on trainings of fewer epochs.",
        "replicates": "Seeds per cell of the screen (published procedure).",
        "screen_cells": "Cells of the screen, at most (published procedure).",
        "centre_points": "Runs in the middle of the numeric factors (published procedure).",
        "seed": "From which the seeds of all trainings follow.",
        "alpha": "Significance level of the tests.",
        "registered_model": "Name of the registered model; by default that of the study.",
        "data": "The images.",
        "factors": "What is varied: name of a setting -> its range or its values.",
        "model": "The network and its fixed settings.",
        "training": "The fixed settings of the training.",
        "pilot": "Three trainings that find where the learning rate works.",
        "refine": "How cells are chosen after the screen (published procedure).",
        "confirm": "New seeds for the best cells (published procedure).",
        "compare": "What a comparison of tuners uses.",
    },
    "DataPart": {
        "source": "A folder or a zip file of images, or its address.",
        "drawn": "Number of drawn images, in place of a source.",
        "image_size": "Pixels per side that the network sees.",
        "per_class": "Images of each class, at most; by default all.",
        "seed": "Of the sample and of drawn images.",
        "training": "Share of the images for training.",
        "validation": "Share of the images for validation; the rest are test images.",
        "exclude": "Files that are left out -> why.",
        "rules": "A file of validation rules, in place of those of FactorGrid.",
    },
    "FactorPart": {
        "low": "The low end of the range.",
        "high": "The high end of the range.",
        "values": "The only values that are run, in place of a range.",
        "scale": "How values between the ends are spaced; by default that of the setting.",
        "domain": "The smallest and the largest value that may be tried.",
        "when": "Values of other factors with which this one counts.",
    },
    "ModelPart": {
        "builder": "The network: a built-in one, or module:function of a file beside the study.",
    },
    "TrainingPart": {
        "epochs": "Passes through the training images.",
        "batch_size": "Images per step.",
        "learning_rate": "Learning rate of the optimizer.",
        "optimizer": "The optimizer.",
        "augment": "Random changes of the training images.",
        "precision": "Number format of the computation; auto takes the fastest safe one.",
        "deterministic": "Whether results repeat to the last bit on the same machine.",
        "weight_decay": "Weight decay of the optimizer.",
        "schedule": "How the learning rate changes during a training.",
        "warmup": "Share of the training during which the learning rate rises from 0.",
        "label_smoothing": "Label smoothing of the loss.",
        "clip_norm": "Largest norm of the gradients; 0 for no limit.",
        "ema": "Decay of the moving average of the weights; 0 for none.",
        "class_weight": "Whether rare classes count more in the loss.",
        "mixup": "Strength of mixup; 0 for none.",
        "cutmix": "Strength of CutMix; 0 for none.",
        "erase": "Chance that a part of a training image is erased.",
        "keep": "The epoch whose network is kept: the last or the best one.",
        "average_flip": "Whether predictions are averaged over an image and its mirror image.",
    },
    "PilotPart": {
        "enabled": "Whether there is a pilot (published procedure).",
        "found": "What the pilot of a finished study found; leave it empty.",
        "ranges": "The ranges before the pilot of a finished study; leave it empty.",
    },
    "PilotFinding": {
        "factor": "Name of the factor.",
        "low": "Low level of the screen.",
        "high": "High level of the screen.",
        "figures": "Accuracies at the low end, in the middle and at the high end.",
    },
    "RefinePart": {
        "method": "A grid, a Gaussian process or a second-order surface.",
        "budget": "Cells, at most.",
        "replicates": "Seeds per cell; by default those of the screen.",
        "rounds": "Grids, at most: the first, and moves off its edge.",
        "prune": "Whether trainings that fall behind are stopped early.",
    },
    "ConfirmPart": {
        "replicates": "New seeds per cell.",
        "cells": "Cells, at most.",
    },
    "ComparePart": {
        "manual": "Cells that a person would try, in order.",
        "levels": "Levels of each factor that the tuners choose from.",
    },
}


def add_help(schema: dict[str, Any], table: type[Any]) -> None:
    """Add to the JSON schema of a table of a study file what each key is."""
    for key, text in HELP.get(table.__name__, {}).items():
        if key in schema.get("properties", {}):
            schema["properties"][key]["description"] = text
