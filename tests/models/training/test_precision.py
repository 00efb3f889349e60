"""The precision that `auto` means on a CPU."""

from pathlib import Path

import pytest

from models.training import backend

INTEL, AMD = "vendor_id : GenuineIntel", "vendor_id : AuthenticAMD"


@pytest.mark.parametrize(
    ("about", "on", "expected"),
    [
        (f"{INTEL}\nflags : avx2 avx512_bf16 amx_bf16", "tensorflow", "bfloat16"),
        (f"{INTEL}\nflags : avx2 avx512_bf16 amx_bf16", "jax", "float32"),
        # Without AMX, Intel's CPUs are slower in bfloat16.
        (f"{INTEL}\nflags : avx2 avx512_bf16", "tensorflow", "float32"),
        (f"{INTEL}\nflags : avx2 avx512f", "tensorflow", "float32"),
        (f"{AMD}\nflags : avx2 avx512_bf16", "tensorflow", "bfloat16"),
        (f"{AMD}\nflags : avx2", "tensorflow", "float32"),
        (None, "tensorflow", "float32"),
    ],
)
def test_auto_is_bfloat16_where_a_cpu_is_faster_with_it(
    about: str | None, on: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if about is not None:
        file.write_text(about)
    monkeypatch.setattr(backend, "CPU_INFO", file)
    monkeypatch.setattr(backend, "_gpu_capability", lambda: None)
    monkeypatch.setattr(backend.load_keras().backend, "backend", lambda: on)
    assert backend.resolve_precision("auto") == expected
    assert backend.resolve_precision("bfloat16") == "bfloat16"
