"""Makes ward.csv, the example of the page "Bring your own cohort": 600 made-up patients before an operation, and what became of them.

No patient stands behind it. `python bench/docs/ward.py > bench/docs/ward.csv` gives the same bytes on every machine.
"""

import sys

import numpy as np
import pandas as pd


def ward(n: int = 600) -> pd.DataFrame:
    """A row a patient. A tenth of the laboratory values was never measured; `dialysis` is known only after the operation."""
    rng = np.random.Generator(np.random.PCG64(7))
    u = rng.random((n, 12))
    age = np.floor(35 + 50 * u[:, 0])
    emergency, diabetes = u[:, 1] < 0.25, u[:, 2] < 0.2 + 0.002 * (age - 35)
    creatinine = np.round(0.6 + 1.2 * u[:, 3] ** 2 + 0.4 * diabetes * u[:, 4], 2)
    haemoglobin = np.round(9 + 6 * u[:, 5], 1)
    frail = (age - 60) / 15 + 1.5 * emergency + 0.6 * diabetes - (haemoglobin - 12) / 3
    aki = u[:, 6] < 1 / (1 + np.exp(2.6 - 0.6 * frail - 2.0 * (creatinine - 1.1)))
    icu = u[:, 7] < 1 / (1 + np.exp(2.4 - 0.8 * frail - 0.8 * aki))
    died = u[:, 8] < 1 / (1 + np.exp(3.3 - 0.8 * frail - 0.8 * icu))
    words = np.where(diabetes, "type 2 diabetes", "no chronic disease") + np.where(u[:, 9] < 0.3, ", smoker", "").astype(object)
    return pd.DataFrame(
        {
            "patient_id": [f"W{i:04d}" for i in range(n)],
            "age": age.astype(int),
            "urgency": np.where(emergency, "emergency", "elective"),
            "creatinine": np.where(u[:, 10] < 0.1, np.nan, creatinine),
            "haemoglobin": np.where(u[:, 11] < 0.1, np.nan, haemoglobin),
            "history": words,
            "aki": aki.astype(int),
            "icu_days": np.where(icu, 1 + np.floor(4 * u[:, 4]), 0).astype(int),
            "died_30d": died.astype(int),
            "dialysis": np.where(aki & (u[:, 9] < 0.8), "yes", "no"),
        }
    )


if __name__ == "__main__":
    ward().to_csv(sys.stdout, index=False, lineterminator="\n")
