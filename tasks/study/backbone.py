"""The backbone of a study with a pretrained network: checked before anything is trained."""

from pathlib import Path

from models.errors import BuilderError
from models.networks.pretrained import choice_of
from models.networks.weight_files import is_url
from models.spec import IMAGE_CHANGES, PRETRAINED_BUILDER, ReplicateSpec, is_frozen
from tasks.errors import StudyError
from tasks.redaction import has_secret, without_password
from tasks.study.hyperparameters import TEXT_SETTINGS
from tasks.study.study_file import Study


def with_backbone(study: Study) -> Study:
    """Return the study with the digest of its weights, which is part of every replicate's key.

    Raises
    ------
    StudyError
        If the backbone, its weights or the image size cannot be used, or if a cell would change
        the images of a frozen backbone.
    """
    where = f"study {study.name}"
    for name in sorted(TEXT_SETTINGS & set(study.factors)):
        raise StudyError(f"{where}: factors.{name}: cannot be a factor; set it in [model]")
    choice = choice_of(study.model.settings)
    if is_url(choice.weights) and has_secret(choice.weights):
        raise StudyError(
            f"{where}: model.weights {without_password(choice.weights)}: has a password, token or "
            "signature, which MLflow would keep with the study; download the file, and name it"
        )
    try:
        choice.check(study.data.image_size)
        source = choice.source()
    except BuilderError as error:
        raise StudyError(f"{where}: model.{error}") from None
    _check_frozen(study, where, is_random=choice.is_random)
    model = study.model.model_copy(update={"builder_source": source})
    return study.model_copy(update={"model": model})


def _check_frozen(study: Study, where: str, *, is_random: bool) -> None:
    """Refuse a frozen backbone with random weights, or with images that change in each epoch."""
    if not any(is_frozen(spec.model) for spec in distinct_specs(study)):
        return
    if is_random:
        raise StudyError(
            f'{where}: model.weights none: random weights must be trained; set unfreeze = "all" in '
            "[model]"
        )
    training = study.training.model_dump()
    for name, neutral in IMAGE_CHANGES.items():
        part = study.factors.get(name)
        used = part.levels if part else (training.get(name, neutral[0]),)
        for value in used:
            if value not in neutral:
                raise StudyError(
                    f"{where}: {name} = {value!r}: the features of a frozen backbone are computed "
                    f"once, so that its images cannot change; remove {name}, or set unfreeze in "
                    "[model]"
                )


def distinct_specs(study: Study) -> list[ReplicateSpec]:
    """Return one spec for each value of ``unfreeze`` in a study."""
    base = {name: part.levels[0] for name, part in study.factors.items()}
    part = study.factors.get("unfreeze")
    values = part.levels if part else ()
    levels = [{**base, "unfreeze": value} for value in values] or [base]
    return [study.spec(own, study.seed) for own in levels]


def weight_places(study: Study) -> dict[str, Path | None]:
    """Return the files and addresses of weights that a study names, by the names of its keys."""
    if study.model.builder != PRETRAINED_BUILDER:
        return {}
    choice = choice_of(study.model.settings)
    if choice.is_file:
        return {"model.backbone": Path(choice.backbone)}
    is_named = choice.weights not in {"imagenet", "none"}
    return {"model.weights": Path(choice.weights) if is_named else None}
