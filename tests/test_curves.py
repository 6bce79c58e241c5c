"""Curves whose areas are the table's numbers, and histograms of risks."""

import numpy as np
import pandas as pd
import pytest
from helpers_made_evidence import make
