"""What is to be done, before it is done: the cells that a user's words come to, locked plans, profiles, and what a run will cost."""

from bench.planning.asking import Options, Taken, Wanted, alone, of_claims, plans_of, wanted
from bench.planning.contents import content, departing, kept, options

__all__ = ["Options", "Taken", "Wanted", "alone", "content", "departing", "kept", "of_claims", "options", "plans_of", "wanted"]
