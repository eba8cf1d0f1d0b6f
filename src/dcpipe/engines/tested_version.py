"""The one version of an engine whose private functions were tried, and the line that a user of another version gets."""

from dataclasses import dataclass
from importlib import metadata

from dcpipe.errors import DcpipeError


@dataclass(frozen=True, slots=True)
class TestedEngine:
    """An engine's name, its package, and the series of versions that was tested: 3.67 stands for 3.67.0, 3.67.1, ..."""

    name: str
    package: str
    series: str

    def problem(self) -> str | None:
        """What is wrong with the version that is installed, and what to type; None if it is of the tested series."""
        version = installed_version(self.package)
        if version is None:
            return f"{self.name} is not installed here; pip install 'dcpipe[engines]'"
        if f"{version}.".startswith(f"{self.series}."):
            return None
        problem = f"{self.name} {version} is installed, and dcpipe was tested with {self.name} {self.series}.* only"
        return f"{problem}; pip install '{self.package}=={self.series}.*'"

    def require(self) -> None:
        """Raises: DcpipeError if the engine is not installed, or in another version."""
        problem = self.problem()
        if problem:
            raise DcpipeError(problem)


def installed_version(package: str) -> str | None:
    """The version of a package that is installed here; None if none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
