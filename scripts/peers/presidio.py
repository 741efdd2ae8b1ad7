#!/usr/bin/env python3
"""Presidio as a filter of JSON Lines: {"id","text"} in, {"id","findings"} out.

Every pattern recognizer that the package brings runs, of whatever country, with an empty language model: the models
that would find names are not in the package registries, so names are not among its findings here.
"""
import inspect
import json
import logging
import sys

import spacy
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, predefined_recognizers
from presidio_analyzer.nlp_engine import SpacyNlpEngine

logging.disable(logging.CRITICAL)

TYPES = {
    "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN", "IP_ADDRESS": "IP",
    "MAC_ADDRESS": "MAC", "FR_NIR": "NIR_FR", "FR_SIREN": "SIREN_FR", "FR_SIRET": "SIRET_FR", "FR_VAT": "VAT_FR",
}


class Blank(SpacyNlpEngine):
    """Tokens and nothing else."""

    def __init__(self):
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}


def registry():
    found = RecognizerRegistry(supported_languages=["en"])
    found.recognizers.clear()
    for _, kind in inspect.getmembers(predefined_recognizers, inspect.isclass):
        if issubclass(kind, EntityRecognizer) and "supported_language" in inspect.signature(kind.__init__).parameters:
            try:
                found.add_recognizer(kind(supported_language="en"))
            except Exception:  # one that needs a model or a service
                continue
    return found


def main():
    engine = AnalyzerEngine(registry=registry(), nlp_engine=Blank(), supported_languages=["en"])
    for line in sys.stdin:
        record = json.loads(line)
        findings = [
            {"type": TYPES.get(one.entity_type, one.entity_type), "start": one.start, "end": one.end}
            for one in engine.analyze(record["text"], language="en", score_threshold=0.5)
        ]
        print(json.dumps({"id": record["id"], "findings": findings}))


if __name__ == "__main__":
    main()
