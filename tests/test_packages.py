import pytest

from compactcli.errors import ConfigError
from compactcli.packages import is_installed, require_package


def test_packages_that_are_there_are_found():
    assert is_installed("numpy")
    require_package("numpy", purpose="this test")


def test_packages_that_are_not_there_are_named():
    assert not is_installed("no_such_package")
    message = "compact train needs the package no_such_package, which is not installed here"
    with pytest.raises(ConfigError, match=message) as caught:
        require_package("no_such_package", purpose="compact train")
    assert caught.value.hint == "install it with: pip install no_such_package"
    assert (caught.value.code, caught.value.exit_code) == ("missing-package", 2)
