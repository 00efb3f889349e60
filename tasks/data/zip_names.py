"""The names in a zip whose encoding is not marked.

A zip marks names in UTF-8. Older programs write names in the encoding of the system that they run
on, without saying which; the standard then is code page 437, which turns Korean names into box
characters.
"""

import zipfile
import zlib
from collections.abc import Sequence

from tasks.data.reason import Reason
from tasks.encodings import OLD_ZIP, likely_encoding
from tasks.escaping import printable

UTF8_FLAG = 0x800
#: The field of a member with its name in UTF-8, by Info-ZIP.
UNICODE_PATH = 0x7075
#: Names by which the encoding is chosen, at most.
MAX_NAMES = 500


def member_paths(members: Sequence[zipfile.ZipInfo]) -> tuple[list[str], list[Reason]]:
    """Return the names of the members, and a note if an encoding was chosen for them."""
    raw = [_unmarked_name(member) for member in members]
    parts = list(
        dict.fromkeys(p for name in raw if name for p in name.split(b"/") if not p.isascii())
    )
    encoding = (likely_encoding(parts[:MAX_NAMES]) if parts else "") or OLD_ZIP
    paths = [_name_in_utf8(member) or member.filename for member in members]
    if encoding == OLD_ZIP:
        return paths, []
    try:
        decoded = {at: name.decode(encoding) for at, name in enumerate(raw) if name}
    except UnicodeDecodeError:
        return paths, []  # a name beyond the first ones is in another encoding
    example = next(name for name in decoded.values() if not name.isascii())
    note = Reason("names_decoded", {"encoding": encoding, "example": printable(example)})
    return [decoded.get(at, path) for at, path in enumerate(paths)], [note]


def _unmarked_name(member: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a name that has no mark of its encoding; empty if it has one."""
    if member.flag_bits & UTF8_FLAG or member.filename.isascii() or _name_in_utf8(member):
        return b""
    return member.orig_filename.encode(OLD_ZIP).split(b"\0")[0]


def _name_in_utf8(member: zipfile.ZipInfo) -> str:
    """Return the name that a member has in a field of its own, if it is of this name."""
    extra = member.extra
    while len(extra) >= 4:  # noqa: PLR2004 # the number and the length of a field
        field, length = (int.from_bytes(extra[at : at + 2], "little") for at in (0, 2))
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if field == UNICODE_PATH and content[:1] == b"\1":
            crc = int.from_bytes(content[1:5], "little")
            if not member.flag_bits & UTF8_FLAG and crc == zlib.crc32(
                member.orig_filename.encode(OLD_ZIP)
            ):
                return content[5:].decode("utf-8", "replace")
    return ""
