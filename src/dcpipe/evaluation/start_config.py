"""Where the networks of an evaluation start."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.network_start import NetworkStartConfig
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.evaluation.rounds import Rounds


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FreshStart(NetworkStartConfig):
    """At freshly initialised parameters."""

    implementation = ("dcpipe.evaluation.rounds",)

    kind: Literal["fresh"]

    def build(self) -> "Rounds":
        """The set alone."""
        from dcpipe.evaluation import rounds

        return rounds.finished_set_only

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"fresh": Example({"kind": "fresh"})}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UnaveragedStart(NetworkStartConfig):
    """Where an averaged set is tested: at networks already trained on its images before averaging (FTD's code)."""

    implementation = ("dcpipe.evaluation.rounds",)
    rounds = 2
    is_fresh = False

    kind: Literal["unaveraged"]

    def build(self) -> "Rounds":
        """The images before averaging, and the average."""
        from dcpipe.evaluation import rounds

        return rounds.unaveraged_first

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """The only one."""
        return {"unaveraged": Example({"kind": "unaveraged"})}
