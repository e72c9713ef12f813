"""Waits as long as it is asked to, with a child that would outlive it, and writes its input to a file."""

import subprocess
import sys
import time

number, seconds, fail_at, mark = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sys.stderr.write(f"openjd_status: at number {number}\n")
if seconds:
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(999)  # {mark}"])
    time.sleep(seconds)
if number == fail_at:
    sys.exit(f"no number {number} today")
with open("data.bin", "wb") as file:
    file.write(sys.stdin.buffer.read())
