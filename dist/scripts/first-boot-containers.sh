#!/bin/sh
# Kept for those who call it by this name. Laid down by archy.
exec /usr/local/bin/archy first-boot --wait-lock 2h "$@"
