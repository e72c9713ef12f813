#!/usr/bin/env python3
"""Pulls the operators' images from the local registry into podman: the same as `./bake --pull-local`."""

import os
import sys
from pathlib import Path

BAKE = Path(__file__).resolve().with_name("bake.sh")

os.execv(BAKE, [str(BAKE), "pull", *sys.argv[1:]])
