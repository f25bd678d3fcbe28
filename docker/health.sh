#!/bin/sh
# Healthy: results can be written, and where a GPU is expected one is there.
set -eu
test -w /lab/results
if [ -n "${LNL_EXPECT_GPU:-}" ]; then
    test -e /dev/nvidiactl
fi
