"""For detectors that read files: JSON Lines {"id","text"} in, {"id","findings"} out; each text becomes a file."""
import json
import os
import sys
import tempfile


def main(scan):
    """`scan(folder)` reads the files of a folder and yields for each secret: the file's path, the rule, the secret."""
    records = [json.loads(line) for line in sys.stdin]
    found = [[] for _ in records]
    with tempfile.TemporaryDirectory() as folder:
        for place, record in enumerate(records):
            with open(os.path.join(folder, f"{place}.txt"), "w", encoding="utf-8") as file:
                file.write(record["text"])
        for path, rule, secret in scan(folder):
            place = int(os.path.basename(path).split(".")[0])
            start = records[place]["text"].find(secret)
            if start >= 0:
                found[place].append({"type": "SECRET_" + rule, "start": start, "end": start + len(secret)})
    for record, findings in zip(records, found):
        print(json.dumps({"id": record["id"], "findings": findings}))
