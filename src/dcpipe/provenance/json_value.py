"""Values read back from JSON and from Zarr attributes: their types are checked here, once, with one clear error."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance import damage


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value and the place that it was read from, such as `.../card.json: facts.classes`.

    Every method raises CorruptArtifactError, which names the place, if the value has another type.
    """

    value: object
    where: str

    def __getitem__(self, key: str) -> "JsonValue":
        """A value of a mapping; the key must be there."""
        fields = self.fields()
        if key not in fields:
            raise CorruptArtifactError(f"has no key {key!r}", where=self.where, remedy=damage.remedy(self.where))
        return fields[key]

    def get(self, key: str) -> "JsonValue | None":
        """A value of a mapping; None if the key is not there."""
        return self.fields().get(key)

    def mapping(self) -> Mapping[str, object]:
        """A mapping as it is."""
        if not isinstance(self.value, Mapping):
            raise self._type_error("a mapping")
        return self.value

    def fields(self) -> dict[str, "JsonValue"]:
        """The values of a mapping by key, each with its place."""
        return {key: JsonValue(value, f"{self.where}: {key}") for key, value in self.mapping().items()}

    def elements(self) -> list["JsonValue"]:
        """The values of a list, each with its place."""
        if not isinstance(self.value, list | tuple):
            raise self._type_error("a list")
        return [JsonValue(value, f"{self.where}[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self._type_error("a text")
        return self.value

    def text_fields(self) -> dict[str, str]:
        """A mapping of texts."""
        return {key: value.text() for key, value in self.fields().items()}

    def integer(self) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._type_error("a whole number")
        return self.value

    def integers(self) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(item.integer() for item in self.elements())

    def number(self) -> float:
        """A number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self._type_error("a number")
        return float(self.value)

    def int_or_float(self) -> int | float:
        """A number; a whole one stays an int."""
        return self.integer() if isinstance(self.value, int) else self.number()

    def numbers(self) -> list[float]:
        """A list of numbers."""
        return [item.number() for item in self.elements()]

    def _type_error(self, expected: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"is {self.value!r:.60}, not {expected}", where=self.where, remedy=damage.remedy(self.where)
        )
