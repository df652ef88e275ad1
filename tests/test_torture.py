"""Damaged and odd files of the real world: each ends as a fingerprint or a failure, in bounded time and memory."""

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("by", ["phash", "pdq"])
def test_every_damaged_file_is_a_fingerprint_or_a_failure_and_no_failure_matches(shared, by):
    code = (
        "import json, pathlib, re, sys, imkin\n"
        "result = imkin.group(sys.argv[1], sys.argv[2])\n"
        # Not getrusage: its peak starts with that of the process which started this one.
        "peak = re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())\n"
        "print(json.dumps([result.to_dict(), int(peak[1])]))"
    )
    folder = shared / "torture"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, folder, by], capture_output=True, timeout=120, check=True
    )
    result, peak_kb = json.loads(done.stdout)
    failed = {failure["path"] for failure in result["failures"]}
    assert done.stderr == b""
    assert result["images"] + len(failed) == sum(path.is_file() for path in folder.rglob("*"))
    assert not failed & {member["path"] for group in result["groups"] for member in group["members"]}
    assert all(failure["reason"] and "\n" not in failure["reason"] for failure in result["failures"])
    assert peak_kb < 500_000
