"""The images of a study as text."""

from tasks.languages import Translate
from tasks.study.study_file import DataPart


def pictures_as_text(data: DataPart, total: int, translate: Translate) -> str:
    """Return how many images a study uses, and from where.

    Parameters
    ----------
    data : the study's ``[data]``.
    total : accepted images, in training, validation and test together.
    translate : see `tasks.languages.translator`.
    """
    if data.source is None:
        return translate("drawn_pictures", n=f"{total:,}", seed=data.seed)
    return translate("source_pictures", n=f"{total:,}", source=data.source)
