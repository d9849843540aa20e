"""What a caller may do: four roles, each of which may do what those before it may."""

from enum import IntEnum


class Role(IntEnum):
    """In this order; NONE is a caller that has not said who it is."""

    NONE = 0
    USE = 1
    MANAGE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """As people write it: use, manage, admin."""
        return self.name.lower()


GRANTED = {role.word: role for role in (Role.USE, Role.MANAGE, Role.ADMIN)}
"""The roles that tokens, certificates and settings name, by their word."""
