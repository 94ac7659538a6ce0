"""Published rates of brain volume loss with age, and where a measured rate stands among them.

Opfer et al. 2018, Neurobiol Aging 65:1, doi 10.1016/j.neurobiolaging.2017.12.024 (abstract): 117 healthy people of 37.3
to 82.6 years, SIENA; loss per cent a year at 45, 55, 65 and 75 years, mean and age-dependent 95th percentile.
"""

import numpy as np

SOURCE = "Opfer 2018, Neurobiol Aging 65:1 (117 healthy adults, SIENA)"
AGES = (45.0, 55.0, 65.0, 75.0)
MEAN_LOSS = (0.15, 0.30, 0.46, 0.61)
HIGH_LOSS = (0.52, 0.77, 1.05, 1.45)
"""95th percentile."""


def expected_loss(age_years: float) -> tuple[float, float] | None:
    """Return mean and 95th percentile of yearly loss in per cent, between the published ages; ``None`` outside."""
    if not AGES[0] <= age_years <= AGES[-1]:
        return None
    return float(np.interp(age_years, AGES, MEAN_LOSS)), float(np.interp(age_years, AGES, HIGH_LOSS))


def standing(age_years: float, loss: float) -> str:
    """Return where a yearly loss stands among healthy people of that age."""
    limits = expected_loss(age_years)
    if limits is None:
        return f"no reference: published for {AGES[0]:.0f} to {AGES[-1]:.0f} years"
    mean, high = limits
    place = "above the 95th percentile" if loss > high else "between mean and 95th percentile" if loss > mean else (
        "below the mean"
    )  # fmt: skip
    return f"{place} of healthy people of {age_years:.0f} years (mean {mean:.2f}, 95th percentile {high:.2f} % a year)"
