"""What card and report can say to the questions of checklists and labels, in sentences; nothing else is said."""

from coread.validate.plain import Plain, is_estimate, read_and_refused
from coread.validate.words import counted, estimate_text, number, p_words

NOT_STATED = "not stated"


def answers_of_report(report: Plain) -> dict[str, str]:
    """Return the answers by name; one that the report does not give is ``not stated``."""
    reader, cases, run = report["reader"], report["cases"], report["run"]
    found = {
        "kind": f"{reader['name']}: an AI reader ({reader['kind']}), measured by `coread validate`",
        "summary": _summary(report),
        "intended_use": reader["intended_use"],
        "not_for": reader["not_for"],
        "goal": "evaluation of a locked model package on a frozen cohort",
        "data": _joined(report, "data"),
        "split": _joined(report, "split"),
        "reference_standard": _joined(report, "reference_standard"),
        "licence": _joined(report, "licence"),
        "training_data": "; ".join(reader["training_data"]) or NOT_STATED,
        "training_licence": reader["training_licence"] or NOT_STATED,
        "eligibility": _eligibility(cases),
        "wrapping": f"read by the engine of the clinic as DICOM objects of modality {_modalities(report)}",
        "inputs": f"images of modality {_modalities(report)}",
        "outputs": ", ".join(body["name"] for body in report["outputs"].values()) or NOT_STATED,
        "refusals": _refusals(report),
        "package": f"locked package, SHA-256 {report['package_digest']}",
        "software": ", ".join([f"Coread {run['coread_version']}", f"Python {run['python']}", run["runtime"]]),
        "measures": "AUC, average precision, sensitivity and specificity at every operating point, predictive values, "
        "calibration (ECE, Brier, slope), net benefit; boxes, masks, numbers and types where the truth holds them",
        "statistics": f"95 % intervals: DeLong (clustered by patient), exact or clustered proportions, "
        f"{run['resamples']} bootstrap resamples of patients; Holm over subgroups",
        "subgroups": _subgroups(report),
        "heterogeneity": _heterogeneity(report),
        "places": _places(report),
        "cohorts": "; ".join(f"{item['name']}: {item['data']}" for item in report["cohorts"]),
        "sites": _sites(report),
        "flow": _flow(report),
        "people": _people(report),
        "events": "; ".join(f"{b['name']}: {b['positives']} positive of {b['n']}" for b in report["outputs"].values()),
        "performance": _performance(report),
        "accuracy": _accuracy(report),
        "worst": _worst(report),
        "limits": " ".join(reader["limits"]) or NOT_STATED,
        "thresholds": _thresholds(report),
        "sample_size": f"{counted(cases['total'], 'case')} of {counted(cases['patients'], 'patient')}; "
        "how the number was chosen: not stated",
        "provenance": f"`{run['command']}`; cohort SHA-256 "
        + ", ".join(item["digest"][:16] for item in report["cohorts"]),
        "criteria": _criteria(report),
        "criteria_hash": f"criteria fixed before the run, SHA-256 {run['criteria_sha256']}"
        if run["criteria_sha256"]
        else NOT_STATED,
        "seconds": _seconds(report),
        "comparison": _comparison(report),
    }
    return {name: text or NOT_STATED for name, text in found.items()}


def output_lines(report: Plain) -> list[str]:
    """Return one sentence for each measure of boxes, masks, numbers and types."""
    names = {key: body["name"] for key, body in report["outputs"].items()}
    lines = [
        f"Boxes of {names.get(key, key)}: AP at IoU 0.5 {estimate_text(body['ap50'])}; centre of the lesion hit "
        f"{estimate_text(body.get('found_centre'), share=True)}."
        for key, body in report["boxes"].items()
    ]
    lines += [
        f"Masks of {key}: Dice {estimate_text(body['dice'])}; HD95 {estimate_text(body['hausdorff95'], digits=2)} "
        f"{body['distance_unit']}."
        for key, body in report["masks"].items()
    ]
    lines += [
        f"{key}: mean absolute error {estimate_text(body['mean_absolute_error'], digits=2)} {body['unit']}."
        for key, body in report["numbers"].items()
    ]
    lines += [
        f"{key}: accuracy {estimate_text(body['accuracy'], share=True)}." for key, body in report["types"].items()
    ]
    return lines


def _joined(report: Plain, key: str) -> str:
    return "; ".join(dict.fromkeys(str(item[key]) for item in report["cohorts"])) or NOT_STATED


def _modalities(report: Plain) -> str:
    return ", ".join(dict.fromkeys(name for item in report["cohorts"] for name in item["modalities"])) or NOT_STATED


def _summary(report: Plain) -> str:
    aucs = [
        f"{body['name']} {estimate_text(body['discrimination']['auc'], digits=2)}"
        for body in report["outputs"].values()
        if is_estimate(body["discrimination"]["auc"])
    ]
    simulated = " Simulated images." if any(item["simulated"] for item in report["cohorts"]) else ""
    return f"{_flow(report)} AUC: {', '.join(aucs)}.{simulated}" if aucs else f"{_flow(report)} No AUC.{simulated}"


def _flow(report: Plain) -> str:
    cases = report["cases"]
    read, refused = read_and_refused(report)
    return (
        f"{counted(cases['total'], 'case')} of {counted(cases['patients'], 'patient')}: {cases['to_be_read']:,} to be "
        f"read, of which {read:,} read, {refused:,} refused, {cases['outcomes']['failed']:,} failed; "
        f"{cases['to_be_refused']:,} to be turned away."
    )


def _eligibility(cases: Plain) -> str:
    return f"the reader's input contract decides: {estimate_text(cases['read_share'], share=True)} of cases were read"


def _refusals(report: Plain) -> str:
    rows = [f"{row['meaning']} ({row['n']})" for row in report["refusals"]]
    return "Not read: " + "; ".join(rows) if rows else "Every case was read."


def _subgroups(report: Plain) -> str:
    names = dict.fromkeys(row["grouping"] for body in report["outputs"].values() for row in body["subgroups"]["rows"])
    return f"measured in strata of {', '.join(names)}" if names else NOT_STATED


def _heterogeneity(report: Plain) -> str:
    found = [
        f"{body['name']} between {test['grouping']}s {p_words(test['p_adjusted'])}"
        for body in report["outputs"].values()
        for test in body["subgroups"]["tests"]
        if "p_adjusted" in test
    ]
    return "; ".join(found) or NOT_STATED


def _places(report: Plain) -> str:
    names = [*report["boxes"], *report["masks"]]
    return f"marks measured against boxes or masks: {', '.join(names)}" if names else NOT_STATED


def _sites(report: Plain) -> str:
    levels = {
        row["level"]
        for body in report["outputs"].values()
        for row in body["subgroups"]["rows"]
        if row["grouping"] in ("site", "cohort")
    }
    return ", ".join(sorted(levels)) or NOT_STATED


def _people(report: Plain) -> str:
    parts = []
    for item in report["cohorts"]:
        ages = item["ages"]
        age = f"age {ages['least']:g} to {ages['most']:g}, median {ages['median']:g}" if ages else "age not stated"
        sexes = ", ".join(f"{name} {count}" for name, count in item["sexes"].items())
        parts.append(f"{item['name']}: {counted(item['patients'], 'patient')}, {age}, sex {sexes}")
    return "; ".join(parts)


def _performance(report: Plain) -> str:
    rows = [
        f"{body['name']}: AUC {estimate_text(body['discrimination']['auc'])}" for body in report["outputs"].values()
    ]
    return "; ".join([*rows, *output_lines(report)])


def _accuracy(report: Plain) -> str:
    rows = [
        f"{body['name']} at {name}: sensitivity {estimate_text(point['sensitivity'], share=True)}, "
        f"specificity {estimate_text(point['specificity'], share=True)}"
        for body in report["outputs"].values()
        for name, point in body["operating_points"].items()
        if point["default"]
    ]
    return "; ".join(rows)


def _worst(report: Plain) -> str:
    kinds = [row["kind"] for row in report["worst"]]
    if not kinds:
        return NOT_STATED
    return (
        f"the report shows {kinds.count('false alarm')} of the surest false alarms and {kinds.count('missed')} misses"
    )


def _thresholds(report: Plain) -> str:
    rows = [
        f"{body['name']} {name} \u2265 {number(point['threshold'])}"
        for body in report["outputs"].values()
        for name, point in body["operating_points"].items()
    ]
    return "; ".join(rows)


def _criteria(report: Plain) -> str:
    verdict = report.get("criteria")
    if not verdict:
        return NOT_STATED
    rows = [f"{row['criterion']}: {'met' if row['met'] else 'not met'}" for row in verdict["rows"]]
    return "; ".join(rows)


def _seconds(report: Plain) -> str:
    timing = report["timing"]
    if "median" not in timing:
        return NOT_STATED
    return f"median {number(timing['median'], 2)} s a case, 95 % under {number(timing['p95'], 2)} s"


def _comparison(report: Plain) -> str:
    body = report.get("comparison")
    if not body:
        return NOT_STATED
    rows = [
        f"{item['name']}: difference of AUC {estimate_text(item['auc']['difference'])}, "
        f"{p_words(item['auc']['p_value'])}"
        for item in body["outputs"].values()
        if "difference" in item["auc"]
    ]
    other = body["other"]
    return f"against {other['reader_id']} {other['version']}: " + ("; ".join(rows) or NOT_STATED)
