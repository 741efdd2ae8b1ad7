#!/usr/bin/env python3
"""Kingfisher as a filter of JSON Lines: {"id","text"} in, {"id","findings"} out. It reads files, so each text becomes one."""
import json
import os
import subprocess
import sys
import tempfile


def main():
    records = [json.loads(line) for line in sys.stdin]
    found = {str(record["id"]): [] for record in records}
    with tempfile.TemporaryDirectory() as folder:
        for place, record in enumerate(records):
            with open(os.path.join(folder, f"{place}.txt"), "w", encoding="utf-8") as file:
                file.write(record["text"])
        run = subprocess.run(
            [os.environ["KINGFISHER"], "scan", folder, "--no-validate", "--format", "jsonl", "--no-dedup",
             "--confidence", "medium", "--no-update-check", "--jobs", "1", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if run.returncode not in (0, 200, 205):
            sys.exit(f"kingfisher ended with {run.returncode}")
        for line in run.stdout.decode("utf-8", "replace").splitlines():
            entry = json.loads(line)
            if "finding" not in entry:
                continue
            rule, finding = entry["rule"], entry["finding"]
            record = records[int(os.path.basename(finding["path"]).split(".")[0])]
            start = record["text"].find(finding["snippet"])
            if start >= 0:
                found[str(record["id"])].append(
                    {"type": "SECRET_" + rule["id"], "start": start, "end": start + len(finding["snippet"])})
    for record in records:
        print(json.dumps({"id": record["id"], "findings": found[str(record["id"])]}))


if __name__ == "__main__":
    main()
