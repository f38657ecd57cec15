"""The invented people of the demonstration: two clinicians with an account, and their patients."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

SYSTEM = "DEMO"
"""The issuing system of every invented record number."""


@dataclass(frozen=True, slots=True)
class Clinician:
    """An approved demo account. Its password is public, hence there are none in production."""

    username: str
    email: str
    password: str
    first_name: str
    last_name: str
    department: str

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


CLINICIANS: tuple[Clinician, ...] = (
    Clinician("dr.ada", "dr.ada@example.org", "lantern-orchard-violin-71", "Ada", "Marsh", "cardiology"),
    Clinician("dr.ben", "dr.ben@example.org", "harbour-copper-meadow-38", "Ben", "Keller", "pulmonology"),
)
"""Each sees the own patients' documents and the own department's guides, and not the other's."""


@dataclass(frozen=True, slots=True)
class Patient:
    """An invented person with an invented record number."""

    number: int
    name: str
    female: bool
    born: date

    @property
    def record(self) -> str:
        return f"{SYSTEM}|{self.number}"

    @property
    def surname(self) -> str:
        return self.name.rpartition(" ")[2]

    @property
    def honorific(self) -> str:
        return "Mrs" if self.female else "Mr"

    def age(self, day: date) -> int:
        """Completed years on `day`."""
        return day.year - self.born.year - ((day.month, day.day) < (self.born.month, self.born.day))


PATIENTS: dict[int, Patient] = {
    patient.number: patient
    for patient in (
        Patient(1001, "Martha Ellison", True, date(1953, 7, 2)),
        Patient(1002, "George Pruitt", False, date(1951, 11, 19)),
        Patient(1003, "Nora Whitfield", True, date(1988, 4, 23)),
        Patient(1004, "Samuel Okoro", False, date(1949, 1, 30)),
        Patient(1005, "Ingrid Vale", True, date(1974, 9, 8)),
        Patient(1006, "Walter Hume", False, date(1957, 3, 14)),
        Patient(1007, "Daniel Ferro", False, date(1966, 12, 5)),
        Patient(1008, "Edith Calloway", True, date(1945, 6, 27)),
        Patient(1009, "Harold Simms", False, date(1952, 2, 11)),
        Patient(1010, "Lucia Brandt", True, date(1964, 10, 16)),
        Patient(1011, "Otto Lindqvist", False, date(1948, 8, 21)),
    )
}

_WOMEN = (
    "Agnes",
    "Beatrice",
    "Clara",
    "Dorothea",
    "Elena",
    "Frieda",
    "Greta",
    "Hanna",
    "Irene",
    "Judith",
    "Karin",
    "Lydia",
)
_MEN = (
    "Albert",
    "Bruno",
    "Carl",
    "Dennis",
    "Emil",
    "Frank",
    "Gustav",
    "Hugo",
    "Ivan",
    "Julian",
    "Konrad",
    "Leo",
)
_FAMILIES = (
    "Abbott", "Barlow", "Carver", "Dunmore", "Eastman", "Farrow", "Garland", "Hartley", "Ingram", "Jarvis",
    "Keaton", "Langley", "Mercer", "Norwood", "Osborne", "Paxton", "Quigley", "Radcliff", "Sutton", "Thorne",
)  # fmt: skip


def invent(number: int, *, like: Patient, dice: random.Random) -> Patient:
    """Another person of the same sex and of about the same age as `like`, drawn from `dice`."""
    first = dice.choice(_WOMEN if like.female else _MEN)
    born = like.born + timedelta(days=dice.randint(-1500, 1500))
    return Patient(number, f"{first} {dice.choice(_FAMILIES)}", like.female, born)
