#!/usr/bin/env python3
"""Gitleaks as a filter of JSON Lines: {"id","text"} in, {"id","findings"} out. It reads files, so each text becomes one."""
import json
import os
import subprocess
import sys
import tempfile


def main():
    records = [json.loads(line) for line in sys.stdin]
    found = {str(record["id"]): [] for record in records}
    with tempfile.TemporaryDirectory() as folder:
        texts, report = os.path.join(folder, "texts"), os.path.join(folder, "report.json")
        os.mkdir(texts)
        for place, record in enumerate(records):
            with open(os.path.join(texts, f"{place}.txt"), "w", encoding="utf-8") as file:
                file.write(record["text"])
        subprocess.run(
            [os.environ["GITLEAKS"], "dir", texts, "--no-banner", "--exit-code", "0", "--report-format", "json",
             "--report-path", report, "--log-level", "fatal"], check=True)
        with open(report, encoding="utf-8") as file:
            for finding in json.load(file):
                record = records[int(os.path.basename(finding["File"]).split(".")[0])]
                start = record["text"].find(finding["Secret"])
                if start >= 0:
                    found[str(record["id"])].append(
                        {"type": "SECRET_" + finding["RuleID"], "start": start, "end": start + len(finding["Secret"])})
    for record in records:
        print(json.dumps({"id": record["id"], "findings": found[str(record["id"])]}))


if __name__ == "__main__":
    main()
