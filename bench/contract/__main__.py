"""What the new process of `bench.contract.elsewhere` does: the quick fit of a trial, of the method whose reference it is told."""

import json
import sys

import numpy as np

from bench.contract.trial import Trial
from bench.registry import Spec

if __name__ == "__main__":
    np.save(sys.argv[1], Trial(Spec(**json.loads(sys.stdin.read()))).whole)
