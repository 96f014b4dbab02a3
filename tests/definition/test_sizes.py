import pytest

from nbflow.definition.faults import Fault
from nbflow.definition.sizes import parse_size


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("2GB", 2_000_000_000),
        ("2 gb", 2_000_000_000),
        ("512MiB", 512 * 1024**2),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5GB", 1_500_000_000),
        ("0.1TB", 100_000_000_000),
        ("3GiB", 3 * 1024**3),
        ("1TiB", 1024**4),
        ("700B", 700),
        ("700", 700),
        (700, 700),
    ],
)
def test_sizes_are_exact(written, size_bytes):
    assert parse_size("memory", written) == size_bytes


@pytest.mark.parametrize("written", ["2XB", "GB", "", "-1GB", "0", 0, -5, True, 1.5, "0.3B", [1]])
def test_what_is_no_size_is_refused(written):
    with pytest.raises(Fault, match=r"memory must be a size such as \"2GB\""):
        parse_size("memory", written)
