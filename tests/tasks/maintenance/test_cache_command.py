"""`factorgrid cache --clear` where the system refuses it."""

import errno
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tasks.errors import UserError
from tasks.maintenance.cache import _delete


def test_a_cache_that_cannot_be_deleted_is_not_reported_as_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", "about.json")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(UserError, match=rf"{tmp_path}: cannot be deleted \(Permission denied\); "):
        _delete(tmp_path)
