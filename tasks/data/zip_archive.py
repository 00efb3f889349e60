"""Finding and reading the pictures of a zip archive, without unpacking it."""

import hashlib
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.data.file_names import (
    NamesInReports,
    has_picture_ending,
    leaves_folder,
    reason_to_pass_over,
    size_fault,
)
from tasks.data.labels import label_entries
from tasks.data.reason import Reason
from tasks.data.source import Entry, Source, source_key
from tasks.data.zip_names import member_paths
from tasks.errors import DataError, UnreadableError
from tasks.escaping import printable

#: Deflate makes photographs only a little smaller: data that unpack to more than this multiple of
#: their size are a decompression bomb, if they unpack to more than `MIN_BOMB_BYTES`.
MAX_RATIO, MIN_BOMB_BYTES = 200, 2**20
#: Bytes of an archive inside an archive, unpacked, at most.
MAX_INNER_BYTES = 256 * 2**30


@dataclass
class ZipReader:
    """Reads members without unpacking the archive; each process opens the archive itself."""

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
            member = self._members[int(entry.location)]
            if _member_stamp(member) != entry.stamp:
                raise UnreadableError("changed")
            return self._archive.read(member)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, IndexError) as error:
            raise UnreadableError("damaged_in_archive", message=str(error)) from error
        except (RuntimeError, NotImplementedError) as error:
            raise UnreadableError("unsupported_compression", message=str(error)) from error


def find_in_zip(path: Path, archive: Path) -> Source:
    """Find the pictures of an archive.

    Parameters
    ----------
    path : the file that the user named.
    archive : the archive with the pictures: the same file, or one that was inside it.

    Raises
    ------
    DataError
        If the archive is a decompression bomb, or has no pictures of two classes.
    """
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
    found: list[Entry] = []
    passed_over: dict[str, Reason] = {}
    names = NamesInReports()
    paths, decoded = member_paths(members)
    for number, (member, path_of_member) in enumerate(zip(members, paths, strict=True)):
        if member.is_dir():
            continue
        name, is_repeated = names.add(path_of_member)
        reason = reason_to_pass_over(path_of_member)
        if reason is not None:
            passed_over[name] = reason
            continue
        fault = _member_fault(member, path_of_member) or (
            Reason("repeated_name") if is_repeated else None
        )
        found.append(Entry(name, None, _member_stamp(member), str(number), fault))
    readable = [members[int(entry.location)] for entry in found if not entry.fault]
    _refuse_bomb(path, archive, sum(member.file_size for member in readable))
    entries, notes = label_entries(found, passed_over, f"pictures {path}")
    return Source(
        str(path),
        source_key(path),
        entries,
        passed_over,
        ZipReader(str(archive)),
        (*decoded, *notes),
    )


def member_names(archive: Path) -> list[str]:
    """Return the names of the pictures in an archive."""
    with zipfile.ZipFile(archive) as opened:
        return [n for n in member_paths(opened.infolist())[0] if not reason_to_pass_over(n)]


def _refuse_bomb(path: Path, archive: Path, unpacked: int) -> None:
    """Refuse an archive whose members together unpack to too much: they may share their bytes."""
    packed = archive.stat().st_size
    if unpacked > MAX_RATIO * max(packed, MIN_BOMB_BYTES):
        raise DataError(
            f"pictures {path}: a decompression bomb: {packed:,} bytes that would unpack to "
            f"{unpacked:,} bytes; name another archive"
        )


def _member_stamp(member: zipfile.ZipInfo) -> str:
    return f"{member.CRC:08x}-{member.file_size}"


def _member_fault(member: zipfile.ZipInfo, path: str) -> Reason | None:
    """Return why a member must not be read; None if it can be read."""
    if leaves_folder(path):
        return Reason("leaves_archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        return Reason("link")
    if _is_encrypted(member):
        return Reason("encrypted")
    if fault := size_fault(member.file_size):
        return fault
    if _is_bomb(member):
        sizes = {"packed": member.compress_size, "unpacked": member.file_size}
        return Reason("decompression_bomb", sizes)
    return None


def _is_encrypted(member: zipfile.ZipInfo) -> bool:
    return bool(member.flag_bits & 0x1)


def _is_bomb(member: zipfile.ZipInfo) -> bool:
    return member.file_size > max(MIN_BOMB_BYTES, MAX_RATIO * member.compress_size)


def innermost_archive(path: Path, scratch: Path) -> Path:
    """Return the archive with the pictures: the file itself, or the one inside Kaggle's outer zip.

    Parameters
    ----------
    scratch : the folder that an inner archive is unpacked to.

    Raises
    ------
    DataError
        If the inner archive must not be unpacked.
    """
    with zipfile.ZipFile(path) as outer:
        members = [m for m in outer.infolist() if not m.is_dir()]
        inner = [m for m in members if PurePosixPath(m.filename).name.lower() == "train.zip"]
        if not inner and not any(has_picture_ending(m.filename) for m in members):
            inner = [m for m in members if m.filename.lower().endswith(".zip")][:2]
        if len(inner) != 1:
            return path
        return _unpack(path, outer, inner[0], scratch)


def _unpack(path: Path, outer: zipfile.ZipFile, member: zipfile.ZipInfo, scratch: Path) -> Path:
    """Unpack an inner archive to disk, once, in pieces: completely or not at all."""
    fault = "" if member.file_size <= MAX_INNER_BYTES else "too large to unpack"
    if _is_bomb(member):
        fault = "a decompression bomb"
    if _is_encrypted(member):
        fault = "encrypted"
    if fault:
        raise DataError(
            f"pictures {path}: {printable(member.filename)} inside it is {fault}; name another "
            "archive"
        )
    identity = _identity(path, member)
    scratch.mkdir(parents=True, exist_ok=True)
    for known in scratch.glob(f"{identity}-*.zip"):
        if known.stat().st_size == member.file_size:
            return known
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".partial-") as folder:
        partial = Path(folder, "inner.zip")
        with outer.open(member) as packed, partial.open("wb") as file:
            digest = _copy_and_digest(packed, file)
        target = scratch / f"{identity}-{digest}.zip"
        # A copy of this name that is incomplete is replaced, too.
        partial.replace(target)
    return target


def _identity(path: Path, member: zipfile.ZipInfo) -> str:
    """Return what identifies a member of an archive without reading it.

    The checksum of a zip can be forged, and the time of a change can be set. The time of the last
    change of a file's status cannot.
    """
    status = path.stat()
    parts = (
        *(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        *(member.header_offset, member.file_size, member.CRC),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _copy_and_digest(packed: IO[bytes], file: IO[bytes]) -> str:
    """Copy a file in pieces; return the SHA-256 of its bytes, hexadecimal."""
    digest = hashlib.sha256()
    while piece := packed.read(2**20):
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()
