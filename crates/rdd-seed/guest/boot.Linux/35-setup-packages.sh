#!/bin/sh
# The host mounts with allow_other, so that root in the guest sees the files too.
set -eu
[ "$LIMA_CIDATA_MOUNTTYPE" = reverse-sshfs ] && [ "${LIMA_CIDATA_MOUNTS:-0}" -gt 0 ] || exit 0
for config in /etc/fuse.conf /etc/fuse3.conf; do
  [ -e "$config" ] || [ "$config" = /etc/fuse.conf ] || continue
  grep -q '^user_allow_other' "$config" 2>/dev/null || echo user_allow_other >>"$config"
done
