"""Packages that the light install leaves out: what needs one says so in one line."""

import importlib.util

from compactcli.errors import ConfigError


def is_installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    return importlib.util.find_spec(package) is not None


def require_package(package: str, *, purpose: str) -> None:
    """Refuse to begin what needs a package that is not installed.

    Args:
        package: Name under which it is imported and installed.
        purpose: What needs it, as the subject of a sentence.

    Raises:
        ConfigError: The package is not there.
    """
    if not is_installed(package):
        raise ConfigError(
            f"{purpose} needs the package {package}, which is not installed here",
            hint=f"install it with: pip install {package}",
            code="missing-package",
        )
