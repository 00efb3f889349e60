"""What each key of a study file is, in one sentence.

The schema of study files has these texts: Prefect's forms, editors and the documentation show them.
"""

from typing import Any

#: Class of the table -> key -> what it is.
HELP: dict[str, dict[str, str]] = {
    "Study": {
        "name": "Name of the study, of its experiment in MLflow and of its model.",
        "description": "What the study is for; shown in the report.",
        "response": "What is compared on the validation images.",
        "second": (
            "A second figure beside the response: its effects and the Pareto front are shown."
        ),
        "method": (
            "budget divides a number of trainings between the stages; published is the "
            "procedure of the published study."
        ),
        "budget": "Trainings of the whole search; without it and minutes, 8 + 4k for k factors.",
        "minutes": "Minutes of the whole search, instead of budget.",
        "short_trainings": (
            "Whether half of the budget is spent on trainings of a quarter of the epochs."
        ),
        "screen": (
            "factorial: a two-level design; latin_hypercube: a few cells, no effects are fitted. "
            "By default factorial, if that leaves enough of the budget."
        ),
        "parallel": (
            "How many cells the refinement chooses at once; by default one per device of the "
            "machine that begins the study. On a CPU as many train at once, and share its cores."
        ),
        "final_epochs": (
            "Train the chosen network once more, for this many epochs, after the search. It is "
            "registered if its response is better than those of its shorter trainings."
        ),
        "replicates": "Seeds per cell of the screen (published procedure).",
        "screen_cells": "Cells of the screen, at most (published procedure).",
        "centre_points": "Runs in the middle of the numeric factors (published procedure).",
        "seed": "Seed of the search: order of the runs, and the seeds of the trainings.",
        "alpha": "Significance level of the tests.",
        "registered_model": "Name of the registered model; by default that of the study.",
        "data": "The images.",
        "factors": "What is varied: name of a setting -> its range or its values.",
        "model": "The network and its fixed settings.",
        "training": "The fixed settings of the training.",
        "pilot": "Three trainings that find where the learning rate works.",
        "refine": "How cells are chosen after the screen (published procedure).",
        "confirm": "New seeds for the best cells (published procedure).",
        "pick": "How the cell is chosen by the response and the second response together.",
        "compare": "What a comparison of tuners uses.",
    },
    "DataPart": {
        "source": (
            "Folder, zip file or URL of the images; a relative path starts at the study's file."
        ),
        "drawn": "Number of images that the program draws itself, instead of source.",
        "image_size": "Pixels per side.",
        "per_class": "Use a random sample of this size from each class.",
        "seed": "Seed of the sample, of the split and of drawn images.",
        "training": "Share of the images for training.",
        "validation": (
            "Share of the images that cells are compared on; the rest are the test images."
        ),
        "exclude": "Images to leave out: the name of the file, and the reason.",
        "rules": "A file of validation rules, in place of those of FactorGrid.",
    },
    "FactorPart": {
        "low": "Low end of the range; with the published procedure, the low level of the screen.",
        "high": "The high end of the range.",
        "values": "The only values that are run; of categories, the first is the reference.",
        "scale": "How levels lie between low and high; known for the built-in settings.",
        "domain": (
            "Lowest and highest value that any stage may try; known for the built-in settings."
        ),
        "when": "The factor counts only with these values of other factors.",
    },
    "ModelPart": {
        "builder": "The network: a built-in one, or module:function of a file beside the study.",
    },
    "TrainingPart": {
        "epochs": "Passes through the training images.",
        "batch_size": "Images per step.",
        "learning_rate": "Learning rate of the optimizer.",
        "optimizer": "The optimizer.",
        "augment": "Random changes of the training images; false is none, true is light.",
        "precision": "Number format; auto is bfloat16 or float32, by the hardware.",
        "deterministic": "Whether equal seeds give bit-identical networks on one machine.",
        "weight_decay": "Decoupled weight decay, of kernels only.",
        "schedule": "How the learning rate changes during a training.",
        "warmup": "Share of the steps in which the learning rate rises.",
        "label_smoothing": "Share of the target that is spread over all classes.",
        "clip_norm": "Largest norm of the gradients; 0 for no limit.",
        "ema": "Momentum of the moving average of the weights; 0 for none.",
        "class_weight": "balanced lets each class count equally in the loss.",
        "mixup": "Parameter of the Beta distribution of mixup; 0 for none.",
        "cutmix": "Parameter of the Beta distribution of CutMix; 0 for none.",
        "erase": "Share of the images in which a rectangle is replaced.",
        "keep": "Which epoch's network is kept: the last, or the best by validation accuracy, "
        "whatever the response is.",
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
        "method": (
            "A grid, a Gaussian process that chooses one cell at a time, or a second-order model."
        ),
        "budget": "Cells, at most.",
        "replicates": "Seeds per cell; by default those of the screen.",
        "rounds": "Grids, at most: the first, and moves off its edge.",
        "prune": "Whether a replicate below the median of the finished ones is stopped early.",
    },
    "ConfirmPart": {
        "replicates": (
            "New seeds for each cell that cannot be distinguished from the best; 0 for none."
        ),
        "cells": "Cells, at most.",
    },
    "PickPart": {
        "within": (
            "The lowest second response among the cells at most this much worse than the best."
        ),
        "at_most": "Only cells whose second response is at most this can be chosen.",
    },
    "ComparePart": {
        "manual": "Cells that a person would try, in order.",
        "levels": (
            "Levels of each factor; by default half decades on a log scale, whole numbers, or nine."
        ),
    },
}


def add_help(schema: dict[str, Any], table: type[Any]) -> None:
    """Add to the JSON schema of a table of a study file what each key is."""
    for key, text in HELP.get(table.__name__, {}).items():
        if key in schema.get("properties", {}):
            schema["properties"][key]["description"] = text
