"""Calibration at run time: raw logits to probabilities, by parameters that were fitted at training time."""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coread.models.errors import BadCalibration

SCHEMA = 1
BY_OUTPUT = "by output"
_MEND = "Fit and export the calibration again."


@dataclass(frozen=True, slots=True)
class Platt:
    """sigmoid(a * logit + b), with a > 0 so that order is kept (Platt 1999). Temperature T is a = 1/T, b = 0."""

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.a) and math.isfinite(self.b) and self.a > 0):
            raise BadCalibration(f"Platt scaling needs finite a > 0 and b, got a={self.a}, b={self.b}. {_MEND}")

    def probability(self, logit: float) -> float:
        """Return the calibrated probability of one logit."""
        return sigmoid(self.a * logit + self.b)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A non-decreasing line through (logits[k], probabilities[k]), constant outside (Zadrozny and Elkan 2002)."""

    logits: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        same = len(self.logits) == len(self.probabilities) > 0
        rising = all(a < b for a, b in zip(self.logits, self.logits[1:], strict=False))
        monotone = all(a <= b for a, b in zip(self.probabilities, self.probabilities[1:], strict=False))
        inside = all(0.0 <= p <= 1.0 for p in self.probabilities)
        if not (same and rising and monotone and inside):
            raise BadCalibration(f"isotonic steps need rising logits and non-decreasing values in [0, 1]. {_MEND}")

    def probability(self, logit: float) -> float:
        """Return the calibrated probability of one logit by linear interpolation."""
        after = bisect_right(self.logits, logit)
        if after == 0:
            return self.probabilities[0]
        if after == len(self.logits):
            return self.probabilities[-1]
        x0, x1 = self.logits[after - 1], self.logits[after]
        y0, y1 = self.probabilities[after - 1], self.probabilities[after]
        return min(y1, max(y0, y0 + (y1 - y0) * ((logit - x0) / (x1 - x0))))


@dataclass(frozen=True, slots=True)
class Beta:
    """sigmoid(a ln s - b ln(1 - s) + c) with s = sigmoid(logit); a, b >= 0 keep the order (Kull et al. 2017)."""

    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        finite = all(math.isfinite(value) for value in (self.a, self.b, self.c))
        if not (finite and self.a >= 0 and self.b >= 0 and self.a + self.b > 0):
            raise BadCalibration(
                f"beta calibration needs finite a, b >= 0, not both 0, and c; got a={self.a}, b={self.b}, c={self.c}. "
                f"{_MEND}"
            )

    def probability(self, logit: float) -> float:
        """Return the calibrated probability of one logit."""
        low = self.a * _softplus(-logit) if self.a else 0.0
        high = self.b * _softplus(logit) if self.b else 0.0
        return sigmoid(high - low + self.c)


Curve = Platt | Isotonic | Beta
_METHODS: dict[type[Curve], str] = {Platt: "platt", Isotonic: "isotonic", Beta: "beta"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """One curve for each output key of a package."""

    curves: tuple[tuple[str, Curve], ...] = ()

    def probability(self, key: str, logit: float) -> float:
        """Return the calibrated probability in [0, 1]; raises BadCalibration for an unknown key or a NaN logit."""
        if math.isnan(logit):
            raise BadCalibration(f"output {key!r}: the logit is not a number, so it has no probability.")
        for name, curve in self.curves:
            if name == key:
                return curve.probability(logit)
        raise BadCalibration(f"calibration.json has no entry for output {key!r}. {_MEND}")


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value)) without overflow for any float, infinities included."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)


def calibration_from_json(document: str | bytes) -> Calibration:
    """Read ``{"schema": 1, "method": METHOD, "outputs": {key: parameters}}``.

    Parameters: platt ``{"a", "b"}``; temperature ``{"temperature"}``; isotonic ``{"logits", "probabilities"}``; beta
    ``{"a", "b", "c"}``. With the method ``by output`` each output names its own ``method`` beside its parameters.
    """
    try:
        body = json.loads(document)
        if body["schema"] != SCHEMA:
            raise BadCalibration(f"calibration.json has schema {body['schema']!r}; this version reads {SCHEMA}.")
        method = str(body["method"])
        return Calibration(tuple((str(key), _curve(method, item)) for key, item in sorted(body["outputs"].items())))
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as problem:
        raise BadCalibration(f"calibration.json: {type(problem).__name__}: {problem}. {_MEND}") from problem


def calibration_to_json(calibration: Calibration) -> str:
    """Write calibration.json; ``calibration_from_json`` gives the same curves back."""
    methods = {_METHODS[type(curve)] for _, curve in calibration.curves}
    mixed = len(methods) > 1
    method = BY_OUTPUT if mixed else min(methods, default="platt")
    own = {key: {"method": _METHODS[type(curve)]} if mixed else {} for key, curve in calibration.curves}
    outputs = {key: own[key] | _parameters(curve) for key, curve in calibration.curves}
    return json.dumps({"schema": SCHEMA, "method": method, "outputs": outputs}, indent=2, sort_keys=True) + "\n"


def _softplus(value: float) -> float:
    """Return ln(1 + exp(value)) without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def _curve(method: str, item: Mapping[str, Any]) -> Curve:
    if method == BY_OUTPUT:
        if item["method"] == BY_OUTPUT:
            raise BadCalibration(f"an output must name its own calibration method. {_MEND}")
        return _curve(str(item["method"]), item)
    if method == "beta":
        return Beta(float(item["a"]), float(item["b"]), float(item["c"]))
    if method == "platt":
        return Platt(float(item["a"]), float(item["b"]))
    if method == "temperature":
        return Platt(1.0 / float(item["temperature"]), 0.0)
    if method == "isotonic":
        return Isotonic(
            tuple(float(value) for value in item["logits"]), tuple(float(value) for value in item["probabilities"])
        )
    raise BadCalibration(f"calibration method {method!r} is unknown; use platt, temperature, isotonic or beta.")


def _parameters(curve: Curve) -> dict[str, Any]:
    if isinstance(curve, Platt):
        return {"a": curve.a, "b": curve.b}
    if isinstance(curve, Beta):
        return {"a": curve.a, "b": curve.b, "c": curve.c}
    return {"logits": list(curve.logits), "probabilities": list(curve.probabilities)}
