"""Finding and reading the pictures of a zip archive, without unpacking it."""

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.data.file_names import (
    MAX_MEMBER,
    has_picture_ending,
    leaves_folder,
    printable_name,
    too_large,
    why_not_a_picture,
)
from tasks.data.labels import label_entries
from tasks.data.source import Entry, Source, source_key
from tasks.errors import DataError, UnreadableError

#: Deflate packs photographs hardly at all; what unpacks to so many times its size is a bomb.
MAX_RATIO, RATIO_FROM = 200, 2**20
#: Bytes of an archive inside an archive, unpacked.
MAX_INNER = 256 * 2**30


@dataclass
class ZipReader:
    """Reads members without unpacking the archive; each process opens it for itself."""

    path: str
    _archive: zipfile.ZipFile | None = field(default=None, repr=False)
    _members: list[zipfile.ZipInfo] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.path, self._archive, self._members = state["path"], None, []

    def read(self, entry: Entry) -> bytes:
        """Return a member's bytes; never more than it declares, and only if its CRC is right."""
        try:
            if self._archive is None:
                self._archive = zipfile.ZipFile(self.path)
                self._members = self._archive.infolist()
            member = self._members[int(entry.where)]
            if _member_stamp(member) != entry.stamp:
                raise UnreadableError("changed while the archive was read")
            return self._archive.read(member)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, IndexError) as error:
            raise UnreadableError(f"damaged in the archive: {error}") from error
        except (RuntimeError, NotImplementedError) as error:
            raise UnreadableError(f"packed in a way that cannot be read: {error}") from error


def find_in_zip(path: Path, archive: Path) -> Source:
    """Find the pictures of an archive; `path` is the file that the user named."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    found, passed = [], {}
    names: Counter[str] = Counter()
    for number, member in enumerate(members):
        if member.is_dir():
            continue
        name = printable_name(member.filename)
        names[name] += 1
        again = f" (again, {names[name]})" if names[name] > 1 else ""
        reason = why_not_a_picture(name)
        if reason:
            passed[name + again] = reason
            continue
        fault = _fault(member) or ("a second member of this name" if again else "")
        found.append(Entry(name + again, None, _member_stamp(member), str(number), fault))
    _refuse_bomb(path, archive, sum(members[int(e.where)].file_size for e in found if not e.fault))
    entries = label_entries(found, passed, f"--data {path}")
    return Source(str(path), source_key(path), entries, passed, ZipReader(str(archive)))


def _refuse_bomb(path: Path, archive: Path, unpacked: int) -> None:
    """Refuse an archive whose members, each harmless alone, add up: they may share their bytes."""
    packed = archive.stat().st_size
    if unpacked > MAX_RATIO * max(packed, RATIO_FROM):
        raise DataError(
            f"--data {path}: a decompression bomb: {packed:,} bytes that would unpack to "
            f"{unpacked:,}; name another archive"
        )


def _member_stamp(member: zipfile.ZipInfo) -> str:
    return f"{member.CRC:08x}-{member.file_size}"


def _fault(member: zipfile.ZipInfo) -> str:
    """Return why a member must not be read; empty where it may."""
    if leaves_folder(member.filename):
        return "its path leaves the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, not a picture"
    if member.flag_bits & 0x1:
        return "encrypted"
    if member.file_size > MAX_MEMBER:
        return too_large(member.file_size)
    if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
        return (
            f"a decompression bomb: {member.compress_size:,} bytes that would unpack to "
            f"{member.file_size:,}"
        )
    return ""


def innermost_archive(path: Path, scratch: Path) -> Path:
    """Return the archive that has the pictures: itself, or the one inside Kaggle's outer zip."""
    with zipfile.ZipFile(path) as outer:
        members = [m for m in outer.infolist() if not m.is_dir()]
        inner = [m for m in members if PurePosixPath(m.filename).name.lower() == "train.zip"]
        if not inner and not any(has_picture_ending(m.filename) for m in members):
            inner = [m for m in members if m.filename.lower().endswith(".zip")][:2]
        if len(inner) != 1:
            return path
        return _unpack(path, outer, inner[0], scratch)


def _unpack(path: Path, outer: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Path) -> Path:
    """Unpack an inner archive to disk, once, in pieces: whole or not at all."""
    fault = "" if member.file_size <= MAX_INNER else "too large to unpack"
    if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
        fault = "a decompression bomb"
    if member.flag_bits & 0x1:
        fault = "encrypted"
    if fault:
        raise DataError(f"--data {path}: {member.filename} inside it is {fault}")
    target = scratch / f"{_member_stamp(member)}.zip"
    if target.exists() and target.stat().st_size == member.file_size:
        return target
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".partial-") as folder:
        partial = Path(folder, target.name)
        with outer.open(member) as packed, partial.open("wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
        partial.replace(target)
    return target
