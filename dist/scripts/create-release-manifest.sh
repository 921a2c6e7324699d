#!/bin/sh
# Kept for those who call it by this name, in the source tree.
exec archy release create --compat "$@"
