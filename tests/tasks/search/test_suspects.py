"""Pictures that several good cells get confidently wrong, ready to be reviewed."""

import tomllib

import numpy as np
import pandas as pd

from models.images.arrays import ImageArrays
from tasks.search.suspects import contact_sheet, exclusion_list, good_cells, rank_suspects
from tasks.study.study_file import DataPart

NAMES = ("cat/right.jpg", "cat/mislabelled.jpg", "dog/hard.jpg", 'dog/говорит "кот".jpg')


def arrays() -> ImageArrays:
    return ImageArrays(
        images=np.zeros((5, 8, 8, 3), np.uint8),
        labels=np.array([1, 0, 0, 1, 1]),
        sides=np.array([0, 1, 1, 1, 1], np.uint8),
        names=("dog/training.jpg", *NAMES),
        classes=("cat", "dog"),
        version="v",
    )


def answers(*of_dog: tuple[float, ...]) -> list[np.ndarray]:
    return [np.array([[1 - p, p] for p in cell], np.float32) for cell in of_dog]


CELLS = answers((0.1, 0.99, 0.2, 0.1), (0.2, 0.97, 0.9, 0.2), (0.05, 0.98, 0.1, 0.1))


def test_a_suspect_is_a_picture_that_most_good_cells_classify_wrongly() -> None:
    suspects = rank_suspects(CELLS, arrays(), arrays().side("validation"))
    assert [s.path for s in suspects.found] == [NAMES[1], NAMES[3]]
    worst = suspects.found[0]
    assert (worst.label, worst.answer, worst.wrong, suspects.cells) == ("cat", "dog", 3, 3)
    assert round(worst.probability, 2) == 0.98


def test_the_exclusion_list_can_be_pasted_into_a_study() -> None:
    text = exclusion_list(rank_suspects(CELLS, arrays(), arrays().side("validation")))
    data = DataPart.model_validate(tomllib.loads(text)["data"])
    assert data.exclude == {
        NAMES[1]: "labelled cat, 3 of 3 good cells predict dog (0.98)",
        NAMES[3]: "labelled dog, 3 of 3 good cells predict cat (0.87)",
    }


def test_without_suspects_the_list_and_the_sheet_are_empty() -> None:
    right = answers((0.1, 0.1, 0.9, 0.9), (0.1, 0.1, 0.9, 0.9))
    suspects = rank_suspects(right, arrays(), arrays().side("validation"))
    assert tomllib.loads(exclusion_list(suspects)) == {"data": {"exclude": {}}}
    assert len(contact_sheet(suspects, arrays()).axes) == 6


def test_collapsed_and_failed_cells_are_not_used() -> None:
    runs = pd.DataFrame(
        {
            "run_id": list("abcdef"),
            "conv_layers": [3, 3, 6, 6, 7, 8],
            "val_accuracy": [0.9, 0.92, 0.5, 0.5, 0.88, float("nan")],
        }
    )
    assert good_cells(runs, ["conv_layers"], "val_accuracy") == [["a", "b"], ["e"]]
