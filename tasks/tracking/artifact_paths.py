"""The paths of the artifacts that are read back; stored studies have them, so they never change."""

#: Of a parent run: the study, with all defaults and with the levels that a pilot chose.
STUDY = "study.json"
#: Of a parent run: some images of each class, as one figure.
SAMPLES = "data/samples.png"
#: Of a parent run: class names, image size, images per class and side, labels of the test and the
#: validation images (of older versions, only of the test images).
PICTURES = "data/pictures.json"
#: Of a parent run: the versions of Python and of the packages.
VERSIONS = "data/versions.json"
#: Of a parent run: the images whose labels the best cells contradict; see `tasks.search.suspects`.
SUSPECTS = "suspects/suspects.csv"
#: Of a parent run: those images as one figure.
CONTACT_SHEET = "suspects/contact_sheet.png"
#: Of a parent run: the registered model, its test accuracy and the verdict of its promotion.
REGISTERED = "registered.json"
#: Of a parent run: what to do next, as `--json` prints it.
NEXT_MOVES = "next.json"
#: Of a replicate: the trained network in Keras's native format.
NETWORK = "model/model.keras"
#: Of a replicate that a longer training may continue: the state at its end.
CHECKPOINT = "model/checkpoint.npz"
#: Of a replicate: class probabilities of the validation and the test images.
PREDICTIONS = "model/predictions.npz"


def as_path_name(name: str) -> str:
    """Return a name with every character but letters, digits and ``-_.`` replaced by ``-``."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
