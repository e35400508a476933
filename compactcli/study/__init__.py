"""Experiments around the method: what the interchannel operation saves and costs, and the figures of ESC-50's folds.

Nothing here is needed to analyse recordings or to train a model; nothing is imported before a study runs.
"""

from compactcli.errors import ConfigError
from compactcli.packages import is_installed

# name under which each is imported, and under which it is installed
PACKAGES = {"torch": "torch", "onnx": "onnx", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def require_study_packages(purpose: str) -> None:
    """Refuse to begin a study without the packages that it needs.

    Args:
        purpose: What needs them, as the subject of a sentence.

    Raises:
        ConfigError: One of them is not installed.
    """
    missing = [name for module, name in PACKAGES.items() if not is_installed(module)]
    if missing:
        raise ConfigError(
            f"{purpose} needs the packages {', '.join(missing)}, which are not installed here",
            hint="install them with: pip install 'compactcli[study]'",
            code="missing-package",
        )
