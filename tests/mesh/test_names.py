import pytest

from mesh.names import NameFormatError, check_control_group, check_host, check_name


@pytest.mark.parametrize(
    "name",
    ["acme.example", "a.b", "x-1.example", "node.eu.acme.example", "1.example", "xn--d1a.xn--p1a"],
)
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "acme",
        "Acme.example",
        "acme.example.",
        ".acme.example",
        "acme..example",
        "acme example",
        "acme+.example",
        "acme/x.example",
        "-acme.example",
        "acme-.example",
        "acme_.example",
        "acme.example\n",
        "аcme.example",
        "127.0.0.1",
        "a.1",
        "a" * 64 + ".example",
        ".".join(["abcdefghi"] * 10) + ".a",
    ],
)
def test_not_names(name: str) -> None:
    with pytest.raises(NameFormatError):
        check_name(name)


def test_longest_name() -> None:
    longest = ".".join(["abcdefghi"] * 9) + ".abcdefghij"
    assert len(longest) == 100
    assert check_name(longest) == longest


@pytest.mark.parametrize("group", ["acme", "acme-holding", "acme.example"])
def test_control_groups(group: str) -> None:
    assert check_control_group(group) == group


@pytest.mark.parametrize("group", ["", "Acme", "acme ltd", "a" * 101, "acme\n"])
def test_not_control_groups(group: str) -> None:
    with pytest.raises(NameFormatError):
        check_control_group(group)


@pytest.mark.parametrize(
    "host", ["localhost", "node1", "a.b.example", "127.0.0.1", "::1", "2001:db8::1", "3com.example"]
)
def test_hosts(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        "Node.example",
        "node.example.",
        "node:80",
        "[::1]",
        "2001:DB8::1",
        "2001:db8:0::1",
        "fe80::1%eth0",
        "127.1",
        "127.0.0.01",
        "256.0.0.1",
        "2130706433",
        "0x7f000001",
        "a.0x7f",
        "http://node",
        "user@node",
        "a/b",
        "a b",
        "a" * 64,
        ".".join(["a" * 60] * 5),
    ],
)
def test_not_hosts(host: str) -> None:
    with pytest.raises(NameFormatError):
        check_host(host)
