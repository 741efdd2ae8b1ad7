#!/usr/bin/env python3
"""Kingfisher as a filter of JSON Lines: {"id","text"} in, {"id","findings"} out."""
import json
import os
import subprocess
import sys

import files


def scan(folder):
    run = subprocess.run(
        [os.environ["KINGFISHER"], "scan", folder, "--no-validate", "--format", "jsonl", "--no-dedup",
         "--confidence", "medium", "--no-update-check", "--jobs", "1", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if run.returncode not in (0, 200, 205):
        sys.exit(f"kingfisher ended with {run.returncode}")
    for line in run.stdout.decode("utf-8", "replace").splitlines():
        entry = json.loads(line)
        if "finding" in entry:
            yield entry["finding"]["path"], entry["rule"]["id"], entry["finding"]["snippet"]


if __name__ == "__main__":
    files.main(scan)
